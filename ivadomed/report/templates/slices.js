// Slices of one case: image, prediction and ground truth in three planes, out of a sprite and an array of labels.
const slices = (() => {
  const dialog = document.getElementById("viewer");
  const root = dialog.querySelector(".slices");
  const fill = document.getElementById("fill");
  const outline = document.getElementById("outline");
  const kind = document.getElementById("kind");
  const which = document.getElementById("which");
  const colours = root.dataset.colours.split(" ").map((text) => text.split(",").map(Number));
  const WIDE = 700; // pixels; on a narrower screen one plane is shown at first
  const MOST_ZOOM = 16;

  // By RAS axis: which axes run across and down, whether against their direction, and what lies at the edges.
  const PLANES = [
    { across: 1, down: 2, back: true, up: true, letters: ["A", "P", "S", "I"] },
    { across: 0, down: 2, back: false, up: true, letters: ["L", "R", "S", "I"] },
    { across: 0, down: 1, back: false, up: true, letters: ["L", "R", "A", "P"] },
  ];
  const PICTURE = { across: 0, down: 1, back: false, up: false, letters: [] };

  const views = [...root.querySelectorAll("figure")].map((figure) => ({
    axis: Number(figure.dataset.axis),
    name: figure.dataset.name,
    figure,
    canvas: figure.querySelector(".slice"),
    strip: figure.querySelector(".strip"),
    range: figure.querySelector("input"),
    caption: figure.querySelector("figcaption"),
    centre: null,
  }));

  let stack = null; // the case that is shown
  let request = 0; // of the last case that was asked for
  let at = [0, 0, 0]; // voxel under the cross, by RAS axis
  let zoom = 1;
  let plane = innerWidth >= WIDE ? "all" : null; // null: that in which slices were taken
  let active = null;
  let objects = null;
  let place = -1; // in objects

  const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

  async function inflate(bytes) {
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Response(stream).arrayBuffer();
  }

  // Grey values of the sprite as [slices, rows, columns].
  async function unpack(data, shape, tiles) {
    const [count, rows, columns] = shape;
    const picture = new Image();
    picture.src = `data:image/jpeg;base64,${data}`;
    await picture.decode();
    const canvas = new OffscreenCanvas(picture.width, picture.height);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(picture, 0, 0);
    const grey = new Uint8Array(count * rows * columns);
    for (let n = 0, to = 0; n < count; n++) {
      const tile = context.getImageData((n % tiles) * columns, Math.floor(n / tiles) * rows, columns, rows).data;
      for (let from = 0; from < tile.length; from += 4) grey[to++] = tile[from];
    }
    return grey;
  }

  async function read(text) {
    const packed = JSON.parse(text);
    const flat = packed.axes.length === 0;
    const order = flat ? [2, 1, 0] : packed.axes;
    const strides = [packed.shape[1] * packed.shape[2], packed.shape[2], 1];
    const byAxis = (values) => [0, 1, 2].map((axis) => values[order.indexOf(axis)]);
    const [grey, labels] = await Promise.all([
      unpack(packed.image, packed.shape, packed.tiles),
      inflate(bytesOf(packed.labels)),
    ]);
    return {
      grey,
      labels: new Uint16Array(labels),
      sets: packed.sets.map(([prediction, truth]) => ({ prediction, truth, differ: `${prediction}` !== `${truth}` })),
      flat,
      main: order[0],
      size: byAxis(packed.shape),
      stride: byAxis(strides),
      zooms: byAxis(packed.zooms),
      start: byAxis(packed.start),
      step: byAxis(packed.step),
      full: byAxis(packed.full),
    };
  }

  const index = (voxel) => voxel[0] * stack.stride[0] + voxel[1] * stack.stride[1] + voxel[2] * stack.stride[2];
  const voxelAt = (place) => {
    const voxel = [0, 0, 0];
    const largestFirst = [0, 1, 2].sort((a, b) => stack.stride[b] - stack.stride[a]);
    for (const axis of largestFirst) {
      voxel[axis] = Math.floor(place / stack.stride[axis]) % stack.size[axis];
    }
    return voxel;
  };

  // Labelled voxels in each slice of each axis, and those where prediction and ground truth differ.
  function count() {
    stack.marked = stack.size.map((length) => new Uint32Array(length));
    stack.differ = stack.size.map((length) => new Uint32Array(length));
    const voxel = [0, 0, 0];
    for (voxel[0] = 0; voxel[0] < stack.size[0]; voxel[0]++) {
      for (voxel[1] = 0; voxel[1] < stack.size[1]; voxel[1]++) {
        for (voxel[2] = 0; voxel[2] < stack.size[2]; voxel[2]++) {
          const code = stack.labels[index(voxel)];
          if (!code) continue;
          const differ = stack.sets[code].differ ? 1 : 0;
          for (let axis = 0; axis < 3; axis++) {
            stack.marked[axis][voxel[axis]]++;
            stack.differ[axis][voxel[axis]] += differ;
          }
        }
      }
    }
  }

  const largest = (counts) => counts.indexOf(counts.reduce((a, b) => Math.max(a, b), 0));
  const middle = (counts) => {
    const half = counts.reduce((a, b) => a + b, 0) / 2;
    let sum = 0;
    return half ? counts.findIndex((value) => (sum += value) >= half) : counts.length >> 1;
  };

  // The slice with the most labels, in the middle of what is labelled there.
  function begin() {
    const { main, size } = stack;
    at = size.map((length) => length >> 1);
    if (!stack.marked[main].some(Boolean)) return;
    at[main] = largest(stack.marked[main]);
    const [a, b] = [0, 1, 2].filter((axis) => axis !== main);
    const counts = [a, b].map((axis) => new Uint32Array(size[axis]));
    const voxel = [...at];
    for (voxel[a] = 0; voxel[a] < size[a]; voxel[a]++) {
      for (voxel[b] = 0; voxel[b] < size[b]; voxel[b]++) {
        if (!stack.labels[index(voxel)]) continue;
        counts[0][voxel[a]]++;
        counts[1][voxel[b]]++;
      }
    }
    at[a] = middle(counts[0]);
    at[b] = middle(counts[1]);
  }

  // Colour of each set of classes, and a number for each set of classes of the ground truth, 0 for none.
  function dress() {
    const hidden = new Set([...root.querySelectorAll("[data-shown]:not(:checked)")].map((box) => Number(box.dataset.shown)));
    const shown = (classes) => classes.filter((k) => !hidden.has(k));
    const numbers = new Map([["", 0]]);
    stack.colours = stack.sets.map(({ prediction }) => {
      const mixed = shown(prediction).map((k) => colours[k % colours.length]);
      return mixed.length ? [0, 1, 2].map((c) => mixed.reduce((sum, colour) => sum + colour[c], 0) / mixed.length) : null;
    });
    stack.truths = Uint16Array.from(stack.sets, ({ truth }) => {
      const key = shown(truth).join();
      if (!numbers.has(key)) numbers.set(key, numbers.size);
      return numbers.get(key);
    });
    stack.shown = shown;
  }

  const planeOf = (view) => (stack.flat ? PICTURE : PLANES[view.axis]);
  const isShown = (view) => (stack.flat || plane === null ? view.axis === stack.main : plane === "all" || plane === view.axis);

  function cells(view) {
    const { across, down, back, up } = planeOf(view);
    const [columns, rows] = [stack.size[across], stack.size[down]];
    const first = [0, 0, 0];
    first[view.axis] = at[view.axis];
    first[across] = back ? columns - 1 : 0;
    first[down] = up ? rows - 1 : 0;
    return {
      columns,
      rows,
      base: index(first),
      right: stack.stride[across] * (back ? -1 : 1),
      below: stack.stride[down] * (up ? -1 : 1),
    };
  }

  // Where the cells of a plane lie on its canvas: origin, and width and height of a cell.
  function layout(view) {
    const { canvas } = view;
    const { across, down } = planeOf(view);
    const [columns, rows] = [stack.size[across], stack.size[down]];
    const scale = Math.min(canvas.width / (columns * stack.zooms[across]), canvas.height / (rows * stack.zooms[down])) * zoom;
    const [width, height] = [stack.zooms[across] * scale, stack.zooms[down] * scale];
    const within = (centre, cell, length, side) =>
      cell * length <= side ? length / 2 : Math.min(Math.max(centre, side / 2 / cell), length - side / 2 / cell);
    const [x, y] = view.centre || [columns / 2, rows / 2];
    view.centre = [within(x, width, columns, canvas.width), within(y, height, rows, canvas.height)];
    return { width, height, left: canvas.width / 2 - view.centre[0] * width, top: canvas.height / 2 - view.centre[1] * height };
  }

  // Column and row of a voxel of the volume in a plane, and back.
  function cellOf(view, voxel) {
    const { across, down, back, up } = planeOf(view);
    const flip = (value, length, turned) => (turned ? length - 1 - value : value);
    return [flip(voxel[across], stack.size[across], back), flip(voxel[down], stack.size[down], up)];
  }
  function moveTo(view, column, row) {
    const { across, down, back, up } = planeOf(view);
    const clamp = (value, length) => Math.min(Math.max(Math.floor(value), 0), length - 1);
    const [x, y] = [clamp(column, stack.size[across]), clamp(row, stack.size[down])];
    at[across] = back ? stack.size[across] - 1 - x : x;
    at[down] = up ? stack.size[down] - 1 - y : y;
  }

  function painted(columns, rows, paint) {
    const canvas = new OffscreenCanvas(columns, rows);
    const pixels = new ImageData(columns, rows);
    for (let i = 0; i < columns * rows; i++) paint(i, pixels.data, 4 * i);
    canvas.getContext("2d").putImageData(pixels, 0, 0);
    return canvas;
  }

  function draw(view) {
    const { canvas } = view;
    const { columns, rows, base, right, below } = cells(view);
    const ratio = devicePixelRatio || 1;
    canvas.width = Math.max(1, Math.round(canvas.clientWidth * ratio));
    canvas.height = Math.max(1, Math.round(canvas.clientHeight * ratio));
    const context = canvas.getContext("2d");
    const { width, height, left, top } = layout(view);
    const from = (i) => base + (i % columns) * right + Math.floor(i / columns) * below;
    const put = (picture) => context.drawImage(picture, left, top, columns * width, rows * height);

    put(painted(columns, rows, (i, data, to) => {
      data[to] = data[to + 1] = data[to + 2] = stack.grey[from(i)];
      data[to + 3] = 255;
    }));
    context.imageSmoothingEnabled = false;
    context.globalAlpha = fill.value / 100;
    put(painted(columns, rows, (i, data, to) => {
      const colour = stack.colours[stack.labels[from(i)]];
      if (!colour) return;
      data.set(colour, to);
      data[to + 3] = 255;
    }));

    context.globalAlpha = outline.value / 100;
    const truth = (x, y) =>
      x < 0 || y < 0 || x >= columns || y >= rows ? 0 : stack.truths[stack.labels[base + x * right + y * below]];
    context.beginPath();
    for (let y = 0; y <= rows; y++) {
      for (let x = 0; x <= columns; x++) {
        const own = truth(x, y);
        if (own !== truth(x - 1, y)) {
          context.moveTo(left + x * width, top + y * height);
          context.lineTo(left + x * width, top + (y + 1) * height);
        }
        if (own !== truth(x, y - 1)) {
          context.moveTo(left + x * width, top + y * height);
          context.lineTo(left + (x + 1) * width, top + y * height);
        }
      }
    }
    context.lineCap = "square";
    // Thin where voxels are small, so that what lies between many small objects is seen.
    const wide = Math.min(1.5 * ratio, Math.max(0.6 * ratio, Math.min(width, height) * 0.4));
    for (const [style, times] of [["rgb(0 0 0 / .55)", 2], ["#ffe600", 1]]) {
      context.strokeStyle = style;
      context.lineWidth = wide * times;
      if (times === 1 || wide > ratio) context.stroke();
    }
    context.globalAlpha = 1;
    if (!stack.flat) annotate(view, context, ratio, { width, height, left, top });
  }

  function annotate(view, context, ratio, { width, height, left, top }) {
    const { canvas } = view;
    if (views.filter(isShown).length > 1) {
      const [x, y] = cellOf(view, at);
      context.fillStyle = "rgb(120 200 255 / .5)";
      context.fillRect(left + (x + 0.5) * width, 0, ratio, canvas.height);
      context.fillRect(0, top + (y + 0.5) * height, canvas.width, ratio);
    }
    const [west, east, north, south] = planeOf(view).letters;
    const edge = 10 * ratio;
    context.font = `${12 * ratio}px system-ui, sans-serif`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.strokeStyle = "#000";
    context.fillStyle = "#fff";
    context.lineWidth = 3 * ratio;
    for (const [letter, x, y] of [
      [west, edge, canvas.height / 2],
      [east, canvas.width - edge, canvas.height / 2],
      [north, canvas.width / 2, edge],
      [south, canvas.width / 2, canvas.height - edge],
    ]) {
      context.strokeText(letter, x, y);
      context.fillText(letter, x, y);
    }
  }

  // Below a slice: how much is labelled in each slice, the part that differs in red.
  function drawStrip(view) {
    const { strip, axis } = view;
    const ratio = devicePixelRatio || 1;
    strip.width = Math.max(1, Math.round(strip.clientWidth * ratio));
    strip.height = Math.max(1, Math.round(strip.clientHeight * ratio));
    const context = strip.getContext("2d");
    const most = stack.marked[axis].reduce((a, b) => Math.max(a, b), 1);
    const each = strip.width / stack.size[axis];
    const tall = (value) => (value ? Math.max(ratio, Math.sqrt(value / most) * strip.height) : 0);
    stack.marked[axis].forEach((value, i) => {
      const differ = stack.differ[axis][i];
      context.fillStyle = "#9aa7b4";
      context.fillRect(i * each, strip.height - tall(value), Math.max(each - ratio / 2, 1), tall(value));
      context.fillStyle = "#c62828";
      context.fillRect(i * each, strip.height - tall(differ), Math.max(each - ratio / 2, 1), tall(differ));
    });
    context.fillStyle = "#0b5c8f";
    context.fillRect((at[axis] + 0.5) * each - ratio, 0, 2 * ratio, strip.height);
  }

  function describe(view) {
    const { axis } = view;
    const first = stack.start[axis] + at[axis] * stack.step[axis] + 1;
    const last = Math.min(first + stack.step[axis] - 1, stack.full[axis]);
    const name = `${view.name} ${first}${last > first ? `\u2013${last}` : ""} of ${stack.full[axis]}`;
    view.range.max = stack.size[axis] - 1;
    view.range.value = at[axis];
    view.range.setAttribute("aria-valuetext", name);
    view.caption.textContent = stack.flat ? "" : name;
  }

  function show() {
    if (!stack || root.hidden) return;
    for (const button of root.querySelectorAll("[data-plane]")) {
      const own = button.dataset.plane === "all" ? "all" : Number(button.dataset.plane);
      button.setAttribute("aria-pressed", own === (plane ?? stack.main));
    }
    const visible = views.filter(isShown);
    if (!visible.includes(active)) active = visible.find((view) => view.axis === stack.main) || visible[0];
    root.classList.toggle("flat", stack.flat);
    root.classList.toggle("several", visible.length > 1);
    for (const view of views) view.figure.hidden = !visible.includes(view);
    for (const view of visible) {
      const { across, down } = planeOf(view);
      const sides = [stack.size[across] * stack.zooms[across], stack.size[down] * stack.zooms[down]];
      view.canvas.style.aspectRatio = visible.length > 1 ? "1" : sides.join("/");
      view.figure.classList.toggle("active", visible.length > 1 && view === active);
      describe(view);
      draw(view);
      if (!stack.flat) drawStrip(view);
    }
  }

  // Several events are drawn once.
  let timer = 0;
  function later() {
    clearTimeout(timer);
    timer = setTimeout(show);
  }

  // What part of the image, and how coarse, is in the page.
  function shownPart() {
    const axes = stack.flat ? [0, 1] : [0, 1, 2];
    const coarse = axes.some((axis) => stack.step[axis] > 1);
    const cut = axes.some((axis) => stack.size[axis] * stack.step[axis] < stack.full[axis]);
    const parts = [];
    if (cut) parts.push("the surroundings of the labels");
    if (coarse) parts.push(`one pixel for ${axes.map((axis) => stack.step[axis]).join(" \u00d7 ")} voxels of the image, which has every label of theirs`);
    return parts.length ? `Shown: ${parts.join("; ")}.` : "";
  }

  function step(by) {
    at[active.axis] = Math.min(Math.max(at[active.axis] + by, 0), stack.size[active.axis] - 1);
    later();
  }

  function magnify(factor, view, point) {
    const before = zoom;
    zoom = Math.min(Math.max(zoom * factor, 1), MOST_ZOOM);
    for (const other of views.filter(isShown)) {
      const target = other === view && point ? point : cellOf(other, at).map((value) => value + 0.5);
      const centre = other.centre || target;
      if (stack.flat && !point) continue;
      other.centre = centre.map((value, i) => target[i] + (value - target[i]) * (before / zoom));
      if (!point) other.centre = target;
    }
    root.classList.toggle("zoomed", zoom > 1);
    later();
  }

  // Connected voxels of a class in prediction or ground truth, class by class, in the order of the slices.
  function findObjects() {
    const { labels, size, stride, sets, main } = stack;
    const found = [];
    for (const k of stack.shown([...new Set(sets.flatMap((set) => [...set.prediction, ...set.truth]))])) {
      const predicted = sets.map((set) => set.prediction.includes(k));
      const true_ = sets.map((set) => set.truth.includes(k));
      const seen = new Uint8Array(labels.length);
      for (let first = 0; first < labels.length; first++) {
        if (!labels[first] || seen[first] || !(predicted[labels[first]] || true_[labels[first]])) continue;
        const members = [first];
        seen[first] = 1;
        let [hits, predictions, truths] = [0, 0, 0];
        for (let next = 0; next < members.length; next++) {
          const place = members[next];
          const code = labels[place];
          predictions += predicted[code];
          truths += true_[code];
          hits += predicted[code] && true_[code];
          const voxel = voxelAt(place);
          for (let axis = 0; axis < 3; axis++) {
            for (const by of [-1, 1]) {
              const value = voxel[axis] + by;
              const other = place + by * stride[axis];
              if (value < 0 || value >= size[axis] || seen[other] || !(predicted[labels[other]] || true_[labels[other]])) continue;
              seen[other] = 1;
              members.push(other);
            }
          }
        }
        const name = hits ? "found" : predictions && !truths ? "false" : "missed";
        found.push({ k, name, size: members.length, voxel: voxelAt(members[members.length >> 1]) });
      }
    }
    return found.sort((a, b) => a.voxel[main] - b.voxel[main]);
  }

  function nextObject() {
    objects = objects || findObjects();
    const chosen = objects.filter((object) => !kind.value || object.name === kind.value);
    if (!chosen.length) {
      which.textContent = "none";
      return;
    }
    place = (place + 1) % chosen.length;
    const { name, size, voxel } = chosen[place];
    at = [...voxel];
    for (const view of views) view.centre = cellOf(view, at).map((value) => value + 0.5);
    which.textContent = `${place + 1} of ${chosen.length}: ${name}, ${size} ${stack.flat ? "pixels" : "voxels"}`;
    later();
  }

  function forget() {
    objects = null;
    place = -1;
    which.textContent = "";
  }

  async function open(text) {
    const own = ++request;
    const next = await read(text);
    if (own !== request) return;
    stack = next;
    zoom = 1;
    root.classList.remove("zoomed");
    for (const view of views) view.centre = null;
    forget();
    count();
    begin();
    dress();
    root.querySelector(".shown").textContent = shownPart();
    root.hidden = false;
    show();
  }

  function close() {
    request++;
    stack = null;
    objects = null;
    root.hidden = true;
  }

  // Show a plane by name, and a slice of it counted from 1 as in its caption.
  function goTo(name, number) {
    const view = views.find((one) => one.name === name) || views.find((one) => one.axis === stack.main);
    if (name) plane = view.axis;
    active = view;
    const slice = Math.floor((number - 1 - stack.start[view.axis]) / stack.step[view.axis]);
    if (number) at[view.axis] = Math.min(Math.max(slice, 0), stack.size[view.axis] - 1);
    show();
  }

  const KEYS = {
    ArrowUp: () => step(1),
    ArrowDown: () => step(-1),
    PageUp: () => step(10),
    PageDown: () => step(-10),
    Home: () => step(-Infinity),
    End: () => step(Infinity),
    "+": () => magnify(1.5),
    "=": () => magnify(1.5),
    "-": () => magnify(1 / 1.5),
    n: nextObject,
    p: () => toggle(fill, 45),
    t: () => toggle(outline, 100),
    0: () => choose("all"),
    1: () => choose(2),
    2: () => choose(1),
    3: () => choose(0),
  };

  function toggle(range, usual) {
    if (Number(range.value)) range.dataset.before = range.value;
    range.value = Number(range.value) ? 0 : range.dataset.before || usual;
    later();
  }

  function choose(wanted) {
    if (stack.flat) return;
    plane = wanted;
    for (const view of views) view.centre = null;
    show();
  }

  // True for a key that was for the slices.
  function key(event) {
    const inField = event.target.matches("input[type=range], select");
    if (!stack || event.ctrlKey || event.metaKey || event.altKey) return false;
    if (inField && /^(Arrow|Page|Home|End)/.test(event.key)) return true; // the field's own
    const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act) return false;
    event.preventDefault();
    act();
    return true;
  }

  for (const view of views) {
    const { canvas } = view;
    const pointAt = (event) => {
      const ratio = canvas.width / canvas.clientWidth;
      const { width, height, left, top } = layout(view);
      return [(event.offsetX * ratio - left) / width, (event.offsetY * ratio - top) / height];
    };
    let pressed = null;
    let turned = 0;
    view.range.addEventListener("input", () => {
      active = view;
      at[view.axis] = Number(view.range.value);
      later();
    });
    canvas.addEventListener("pointerdown", (event) => {
      active = view;
      pressed = { from: pointAt(event), moved: false };
      if (zoom > 1) canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!pressed || !event.buttons) return;
      const point = pointAt(event);
      if (zoom > 1) {
        pressed.moved = pressed.moved || Math.hypot(event.movementX, event.movementY) > 1;
        if (pressed.moved) view.centre = view.centre.map((value, i) => value + pressed.from[i] - point[i]);
      } else if (!stack.flat && event.pointerType === "mouse") moveTo(view, ...point);
      later();
    });
    canvas.addEventListener("pointerup", (event) => {
      if (pressed && !pressed.moved && !stack.flat) moveTo(view, ...pointAt(event));
      pressed = null;
      later();
    });
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      active = view;
      if (event.ctrlKey || stack.flat) return magnify(1.2 ** -Math.sign(event.deltaY), view, pointAt(event));
      turned += event.deltaMode ? event.deltaY * 40 : event.deltaY;
      const by = Math.trunc(turned / 40); // a notch of a wheel is about 100 pixels, that of a touchpad a few
      turned -= by * 40;
      step(-Math.sign(by) * Math.min(Math.abs(by), event.deltaMode || Math.abs(event.deltaY) >= 80 ? 1 : 3));
    }, { passive: false });
  }
  for (const range of [fill, outline]) range.addEventListener("input", later);
  for (const button of root.querySelectorAll("[data-plane]")) {
    button.addEventListener("click", () => choose(button.dataset.plane === "all" ? "all" : Number(button.dataset.plane)));
  }
  root.querySelector(".key").addEventListener("change", () => {
    dress();
    forget();
    later();
  });
  kind.addEventListener("change", () => {
    place = -1;
    nextObject();
  });
  document.getElementById("object").addEventListener("click", nextObject);
  document.getElementById("closer").addEventListener("click", () => magnify(1.5));
  document.getElementById("farther").addEventListener("click", () => magnify(1 / 1.5));
  const resized = new ResizeObserver(later);
  for (const view of views) resized.observe(view.canvas);
  dialog.addEventListener("close", close);

  return { open, close, goTo, key };
})();
