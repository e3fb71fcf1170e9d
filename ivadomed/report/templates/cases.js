"use strict";
(() => {
  const table = document.getElementById("cases");
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const rows = [...body.rows];
  const dialog = document.getElementById("viewer");
  const contrast = document.getElementById("contrast");
  const search = document.getElementById("search");
  const classes = document.getElementById("class");
  const all = document.getElementById("all");

  // Text of a cell as a number; what does not exist comes last in either direction.
  const value = (row, column) => {
    const text = row.cells[column].textContent;
    return heads[column].dataset.worst ? parseFloat(text) : text;
  };

  function sort(column, reverse) {
    const head = heads[column];
    const ascending = (head.dataset.worst !== "descending") !== reverse;
    const sign = ascending ? 1 : -1;
    const compare = (a, b) => {
      const x = value(a, column), y = value(b, column);
      if (typeof x === "string") return sign * x.localeCompare(y, undefined, { numeric: true });
      if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
      return sign * (x - y);
    };
    rows.sort(compare);
    body.append(...rows);
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  }

  // #sort=dice_class0 sorts, the worst first; #sort=dice_class0,reverse the other way; #image=NAME shows one,
  // #image=NAME&plane=coronal&slice=12 a slice of it.
  function followAddress() {
    const wanted = new URLSearchParams(location.hash.slice(1));
    const [name, direction] = (wanted.get("sort") || "").split(",");
    const column = heads.findIndex((head) => head.dataset.column === name);
    if (column >= 0) sort(column, direction === "reverse");
    const row = rows.find((one) => one.cells[0].textContent === wanted.get("image"));
    if (row && row.classList.contains("has-picture")) show(row, wanted.get("plane"), Number(wanted.get("slice")));
  }

  heads.forEach((head, column) => {
    head.firstElementChild.addEventListener("click", () => {
      const worst = head.dataset.worst || "ascending";
      const reverse = head.getAttribute("aria-sort") === worst;
      history.replaceState(null, "", `#sort=${head.dataset.column}${reverse ? ",reverse" : ""}`);
      sort(column, reverse);
    });
  });

  function filter() {
    const text = search.value.trim().toLowerCase();
    for (const row of rows) {
      const named = row.cells[0].textContent.toLowerCase().includes(text);
      row.hidden = !named || Boolean(contrast && contrast.value && row.cells[1].textContent !== contrast.value);
    }
  }

  function columns() {
    table.classList.toggle("main", !all.checked);
    for (const cell of table.querySelectorAll("[data-class], td[class]")) {
      const own = cell.dataset.class || (cell.className.match(/\bc(\d+)\b/) || [])[1];
      cell.hidden = Boolean(classes && classes.value && own && own !== classes.value);
    }
  }

  let shown = null;
  async function show(row, plane, slice) {
    const link = row.cells[0].querySelector("a");
    const embedded = document.getElementById(link.dataset.embedded);
    const image = dialog.querySelector("img");
    shown = row;
    dialog.querySelector("strong").textContent = link.textContent;
    dialog.querySelector(".numbers").textContent = [...row.cells].slice(1)
      .map((cell, i) => [heads[i + 1], cell])
      .filter(([, cell]) => cell.getClientRects().length)
      .map(([head, cell]) => `${head.textContent.trim()} ${cell.textContent}`).join(" · ");
    dialog.querySelector(".absent").hidden = true;
    const packed = document.getElementById(link.dataset.slices);
    image.hidden = Boolean(packed);
    if (!packed) {
      slices.close();
      image.alt = link.textContent;
      image.src = embedded ? embedded.src : link.getAttribute("href");
    }
    if (!dialog.open) dialog.showModal();
    if (!packed) return;
    await slices.open(packed.textContent);
    if (plane || slice) slices.goTo(plane, slice);
  }

  function step(by) {
    const visible = rows.filter((row) => !row.hidden && row.classList.contains("has-picture"));
    const next = visible[visible.indexOf(shown) + by];
    if (next) show(next);
  }

  dialog.querySelector("img").addEventListener("error", (event) => {
    event.target.hidden = true;
    dialog.querySelector(".absent").hidden = false;
  });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("keydown", (event) => {
    if (slices.key(event)) return;
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
  document.getElementById("previous").addEventListener("click", () => step(-1));
  document.getElementById("next").addEventListener("click", () => step(1));

  body.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey) return; // the link opens its file in a tab
    const row = event.target.closest("tr");
    if (!row.classList.contains("has-picture") || String(getSelection())) return;
    event.preventDefault();
    show(row);
  });
  for (const image of document.querySelectorAll(".pictures img")) {
    image.addEventListener("click", () => show(rows.find((row) => row.querySelector(`[data-embedded="${image.id}"]`))));
  }

  search.addEventListener("input", filter);
  if (contrast) contrast.addEventListener("change", filter);
  if (classes) classes.addEventListener("change", columns);
  all.addEventListener("change", columns);
  addEventListener("hashchange", followAddress);
  columns();
  followAddress();
})();
