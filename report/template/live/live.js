"use strict";
// The controls around the network of unet.js: which image, what each skip carries, what comes out.
(() => {
  const block = document.currentScript.parentElement;
  const one = selector => block.querySelector(selector);
  const all = selector => [...block.querySelectorAll(selector)];
  const {network, classes, colors, fields, width, height, band, tests} = JSON.parse(one(".data").textContent);
  const VOID = 255, INTACT = 0, CUT = 1, OTHER = 2;
  const IOU = "IoU in %";
  const STATES = ["intact", "cut", "other image"];
  const NEXT = ["Press to cut it.", "Press to feed it another image.", "Press to restore it."];
  const levels = all("button.connection"), arrows = all("g.connection");

  // The network, in a worker of its own. Questions are numbered, and asked once.
  const source = new Blob([one(".worker").textContent], {type: "text/javascript"});
  const giveUp = () => { block.hidden = true };
  let worker;
  try { worker = new Worker(URL.createObjectURL(source)) } catch { return giveUp() }
  if (!("DecompressionStream" in window)) return giveUp();
  const waiting = new Map(), answers = new Map();
  worker.onerror = giveUp;
  worker.onmessage = ({data}) => { waiting.get(data.number)(data); waiting.delete(data.number) };
  worker.postMessage(network);
  const ask = (image, sources) => {
    const key = [image, ...sources].join();
    if (!answers.has(key)) answers.set(key, new Promise(resolve => {
      waiting.set(answers.size, resolve);
      worker.postMessage({number: answers.size, image, sources});
    }));
    return answers.get(key);
  };

  // Images: {name, picture (ImageData)}, and of a test image also {truth, without, nearest}.
  const images = new Map();
  const sketch = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  sketch.canvas.width = width;
  sketch.canvas.height = height;
  const read = (picture, ...place) => {
    sketch.imageSmoothingQuality = "high";
    sketch.drawImage(picture, ...place, 0, 0, width, height);
    return sketch.getImageData(0, 0, width, height);
  };
  const decode = async uri => {
    const image = new Image();
    image.src = uri;
    await image.decode();
    return image;
  };
  const readLabels = async uri => read(await decode(uri)).data.filter((value, index) => index % 4 === 0);
  const add = image => {
    images.set(image.name, image);
    worker.postMessage({image: image.name, pixels: image.picture.data, height, width});
  };
  const load = async index => {
    const test = tests[index], shown = all(".images img")[index];
    if (images.has(test.name)) return test.name;
    await shown.decode();
    const truth = await readLabels(test.truth), without = await readLabels(test.without);
    add({...test, picture: read(shown), truth, without});
    return test.name;
  };
  let photographs = 0;
  const open = async file => {
    try {
      const bitmap = await createImageBitmap(file);
      const scale = Math.min(bitmap.width / width, bitmap.height / height);
      const [w, h] = [width * scale, height * scale];  // the largest part of the network's proportions
      const picture = read(bitmap, (bitmap.width - w) / 2, (bitmap.height - h) / 2, w, h);
      add({name: `photograph ${++photographs}`, picture});
      choose(`photograph ${photographs}`);
    } catch {
      one(".said").textContent = `${file.name} is no picture that this browser can read.`;
    }
  };

  // Scores, as lib/metrics.py and lib/structure.py have them.
  const ratio = (part, whole) => part.map((count, index) => count / whole[index]);  // NaN: 0 / 0
  const mean = values => {
    const present = values.filter(value => !Number.isNaN(value));
    return present.reduce((sum, value) => sum + value, 0) / present.length;
  };
  const counted = (labels, truth, where, near = [labels, truth].map(() => where)) => {
    const both = Array(classes.length).fill(0), either = Array(classes.length).fill(0);
    truth.forEach((label, pixel) => {
      if (!where[pixel]) return;
      const [predicted, actual] = near.map(band => band[pixel]);
      if (predicted) either[labels[pixel]]++;
      if (actual) either[label]++;
      if (predicted && actual && labels[pixel] === label) { both[label]++; either[label]-- }
    });
    return ratio(both, either);
  };
  const nearOutline = labels => labels.map((label, pixel) => {
    const x = pixel % width, y = Math.floor(pixel / width);
    if (Math.min(x, y, width - 1 - x, height - 1 - y) < band) return 1;
    for (let row = pixel - band * width; row <= pixel + band * width; row += width) {
      for (let at = row - band; at <= row + band; at++) if (labels[at] !== label) return 1;
    }
    return 0;
  });
  const withoutVoid = (labels, {truth, nearest}) => {  // void takes the label of the nearest pixel
    let next = 0;
    return truth.map((label, pixel) => labels[label === VOID ? nearest[next++] : pixel]);
  };
  const score = (labels, image) => {
    const known = image.truth.map(label => label !== VOID);
    const iou = counted(labels, image.truth, known);
    const [drawn, truth] = [labels, image.truth].map(each => withoutVoid(each, image));
    const boundary = counted(drawn, truth, known, [drawn, truth].map(nearOutline));
    return {"mIoU": mean(iou), "boundary IoU": mean(boundary), iou};
  };
  const shares = labels => classes.map((_, index) => labels.filter(label => label === index).length / labels.length || NaN);

  // Pictures.
  const paint = (canvas, color) => {
    const context = canvas.getContext("2d"), picture = context.createImageData(canvas.width, canvas.height);
    for (let at = 0; at < picture.data.length; at += 4) picture.data.set([...color(at / 4), 255], at);
    context.putImageData(picture, 0, 0);
  };
  const paintLabels = (name, labels) => paint(one(`.${name} canvas`), pixel => colors[labels[pixel]] ?? [0, 0, 0]);
  const paintMarked = (name, picture, marked) => paint(one(`.${name} canvas`), pixel => {
    if (marked(pixel)) return [213, 94, 0];
    const [red, green, blue] = picture.data.subarray(4 * pixel);
    return Array(3).fill(110 + 0.18 * red + 0.35 * green + 0.07 * blue);
  });

  // Words.
  const percent = share => Number.isNaN(share) ? "–" : (100 * share).toFixed(1);
  const against = difference => {
    const size = percent(Math.abs(difference));
    return size === "0.0" ? "no change" : `${size} points ${difference < 0 ? "below" : "above"} the intact network`;
  };
  const describe = () => {
    const parts = [CUT, OTHER].map(state => {
      const chosen = states.flatMap((each, level) => each === state ? [level] : []);
      if (!chosen.length) return "";
      const numbers = chosen.join(", ").replace(/, (\d)$/, " and $1");
      const names = chosen.length === levels.length ? "all skips" : `skip${chosen.length > 1 ? "s" : ""} ${numbers}`;
      return state === CUT ? `${names} cut` : `${names} carrying another image`;
    }).filter(Boolean);
    const text = parts.join(", ") || "all skips intact";
    return text[0].toUpperCase() + text.slice(1);
  };

  // State, and what is shown of it.
  const states = levels.map(() => INTACT);
  let current, labels, turn = 0;
  const show = (image, intact, maps) => {
    const changed = labels.filter((label, pixel) => label !== intact[pixel]).length / labels.length;
    const {truth, without, picture} = image;
    all(".map").forEach((canvas, index) => paint(canvas, pixel => Array(3).fill(maps[index][pixel])));
    block.classList.toggle("own", !truth);
    one(".photo canvas").getContext("2d").putImageData(picture, 0, 0);
    paintLabels("prediction", labels);
    one(".errors .title").textContent = truth ? "Its errors" : "Changed labels";
    paintMarked("errors", picture, pixel => truth ? labels[pixel] !== truth[pixel] && truth[pixel] !== VOID
      : labels[pixel] !== intact[pixel]);
    let columns;
    if (truth) {
      paintLabels("truth", truth);
      paintLabels("without", without);
      columns = [labels, intact, without].map(each => score(each, image));
    } else columns = [labels, intact].map(each => ({iou: shares(each)}));
    tabulate(columns, truth ? IOU : "share in %");
    const [now, before] = columns, whole = states.every(state => state === INTACT);
    const scores = truth ? ["mIoU", "boundary IoU"].map(name =>
      `${name} ${percent(now[name])} %` + (whole ? "" : ` (${against(now[name] - before[name])})`)) : [];
    if (!whole) scores.push(`${percent(changed)} % of the labels changed`);
    one(".said").textContent = `${[describe(), ...scores].join("; ")}.`;
  };
  const tabulate = (columns, what) => {
    const row = (name, values, color) => {
      const line = document.createElement("tr"), head = document.createElement("th");
      const swatch = document.createElement("i");
      head.scope = "row";
      if (color) swatch.style.background = `rgb(${color})`;
      head.append(...color ? [swatch, name] : [name]);
      line.append(head);
      for (const value of values) line.insertCell().textContent = percent(value);
      return line;
    };
    const means = ["mIoU", "boundary IoU"].filter(name => name in columns[0]);
    one(".scores th").textContent = what;
    one(".scores tbody").replaceChildren(
      ...means.map(name => row(name, columns.map(column => column[name]))),
      ...classes.map((name, index) => row(name, columns.map(({iou}) => iou[index]), colors[index])));
  };
  const update = async () => {
    const mine = ++turn, image = images.get(current);
    levels.forEach((button, level) => {
      button.dataset.state = arrows[level].dataset.state = STATES[states[level]];
      button.firstChild.textContent = `skip ${level}: ${STATES[states[level]]}`;
      button.setAttribute("aria-label", `${button.dataset.name}: ${STATES[states[level]]}. ${NEXT[states[level]]}`);
    });
    const index = tests.findIndex(test => test.name === current), next = (index + 1) % tests.length;
    all(".images button").forEach((button, at) => {
      button.setAttribute("aria-pressed", at === index);
      button.classList.toggle("other", at === next && states.includes(OTHER));
    });
    block.setAttribute("aria-busy", true);
    const other = states.includes(OTHER) ? await load(next) : null;
    const intact = await ask(current, levels.map(() => current));
    if (mine !== turn) return;
    const found = await ask(current, states.map(state => [current, null, other][state]));
    if (mine !== turn) return;
    labels = found.labels;
    show(image, intact.labels, found.maps);
    block.removeAttribute("aria-busy");
  };
  const choose = name => { current = name; update() };

  // A pixel: what lies there, and what each level of the encoder sees around it.
  let [x, y] = [width >> 1, height >> 1];
  const point = (across = x, down = y) => {
    x = Math.max(0, Math.min(width - 1, Math.floor(across)));
    y = Math.max(0, Math.min(height - 1, Math.floor(down)));
    const place = {left: `${100 * (x + .5) / width}%`, top: `${100 * (y + .5) / height}%`};
    for (const mark of all(".pixel")) Object.assign(mark.style, place);
    all(".fields rect").forEach((outline, level) => {
      const cell = 2 ** level, side = fields[level], reach = (side - cell) / 2;
      const box = {x: x - x % cell - reach, y: y - y % cell - reach, width: side, height: side};
      for (const [name, value] of Object.entries(box)) outline.setAttribute(name, value);
    });
    const {truth} = images.get(current) ?? {}, pixel = y * width + x;
    const name = label => classes[label] ?? "void";
    one(".at").textContent = labels ? `Pixel ${x}, ${y}: ${name(labels[pixel])}` +
      (truth ? `; ground truth ${name(truth[pixel])}` : "") : "";
    block.classList.add("pointing");
  };
  const leave = () => { block.classList.remove("pointing"); one(".at").textContent = "" };
  for (const frame of all(".frame")) {
    const follow = event => {
      const box = frame.getBoundingClientRect();
      point((event.clientX - box.left) / box.width * width, (event.clientY - box.top) / box.height * height);
    };
    frame.addEventListener("pointerdown", follow);
    frame.addEventListener("pointermove", follow);
    frame.addEventListener("pointerleave", leave);
  }
  const keys = one(".photo .frame");
  keys.addEventListener("focus", () => point());
  keys.addEventListener("blur", leave);
  keys.addEventListener("keydown", event => {
    const step = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
    if (!step) return;
    event.preventDefault();
    point(x + step[0], y + step[1]);
  });

  // Controls.
  levels.forEach((button, level) => button.addEventListener("click", () => {
    states[level] = (states[level] + 1) % STATES.length;
    update();
  }));
  for (const button of all(".presets button")) {
    button.addEventListener("click", () => { states.fill(+button.dataset.state); update() });
  }
  all(".images button").forEach((button, index) => button.addEventListener("click", async () => choose(await load(index))));
  one("input").addEventListener("change", ({target}) => { if (target.files[0]) open(target.files[0]) });
  block.addEventListener("dragover", event => event.preventDefault());
  block.addEventListener("drop", event => {
    event.preventDefault();
    if (event.dataTransfer.files[0]) open(event.dataTransfer.files[0]);
  });
  const unknown = {"mIoU": NaN, "boundary IoU": NaN, iou: classes.map(() => NaN)};
  tabulate(Array(3).fill(unknown), IOU);  // its room is taken before the first answer
  load(0).then(choose);
})();
