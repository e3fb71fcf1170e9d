"use strict";
// Values of charts, for a mouse that rests on them and for a finger that touches them.
(() => {
  const tip = document.createElement("output");
  tip.className = "tip";
  tip.hidden = true;
  document.body.append(tip);

  function place(text, event) {
    tip.textContent = text;
    tip.hidden = !text;
    const width = document.documentElement.clientWidth;
    const left = Math.min(Math.max(8, event.clientX + 14), width - tip.offsetWidth - 8);
    const above = event.clientY - tip.offsetHeight - 12;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${above > 4 ? above : event.clientY + 18}px`;
  }

  // The text of a mark would come after a second, and for no finger.
  for (const title of document.querySelectorAll(".chart svg title")) {
    title.parentNode.dataset.tip = title.textContent;
    title.parentNode.setAttribute("aria-label", title.textContent);
    title.remove();
  }

  function readCurves(svg) {
    return [...svg.querySelectorAll("polyline")].map((line) => ({
      name: line.dataset.name,
      values: JSON.parse(line.dataset.values),
      pixels: [...line.points].map((point) => point.x),
    }));
  }

  // Values of all curves at the epoch that is nearest to the pointer.
  function atPointer(svg, curves, event) {
    const box = svg.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width * svg.viewBox.baseVal.width;
    const near = curves.map(({ pixels }) =>
      pixels.reduce((best, pixel, i) => Math.abs(pixel - x) < Math.abs(pixels[best] - x) ? i : best, 0));
    const distances = curves.map(({ pixels }, k) => Math.abs(pixels[near[k]] - x));
    const first = distances.indexOf(Math.min(...distances));
    const epoch = curves[first].values[near[first]][0];
    const lines = curves.flatMap(({ name, values }, k) =>
      values[near[k]][0] === epoch ? [`${name} ${values[near[k]][1]}`] : []);
    return { text: [`epoch ${epoch}`, ...lines].join("\n"), x: curves[first].pixels[near[first]] };
  }

  for (const svg of document.querySelectorAll(".chart svg")) {
    const curves = readCurves(svg);
    const cursor = document.createElementNS(svg.namespaceURI, "path");
    cursor.setAttribute("class", "cursor");
    if (curves.length) svg.prepend(cursor);
    const show = (event) => {
      const mark = event.target.closest("[data-tip]");
      if (mark) return place(mark.dataset.tip, event);
      if (!curves.length) return place("", event);
      const found = atPointer(svg, curves, event);
      cursor.setAttribute("d", `M${found.x} 10V${svg.viewBox.baseVal.height - 34}`);
      place(found.text, event);
    };
    const hide = () => { tip.hidden = true; cursor.removeAttribute("d"); };
    svg.addEventListener("pointermove", show);
    svg.addEventListener("pointerdown", show);
    svg.addEventListener("pointerleave", hide);
  }
  addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });
})();
