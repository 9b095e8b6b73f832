// The values of a chart's lines where one points, or with the arrow keys.
for (const data of document.querySelectorAll(".fig .visual > script")) {
  const box = data.parentElement, chart = box.querySelector("svg.chart"), panels = JSON.parse(data.text);
  const note = document.createElement("div");
  note.className = "reading";
  note.setAttribute("role", "status");
  note.hidden = true;
  document.body.append(note);
  const group = document.createElementNS("http://www.w3.org/2000/svg", "g");
  group.setAttribute("pointer-events", "none");
  chart.append(group);
  chart.tabIndex = 0;
  const mark = (name, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    group.append(made);
  };
  const longest = panel => panel.lines.reduce((a, b) => b.at.length > a.at.length ? b : a).at;
  const nearest = (points, x) => points.reduce((a, b) => Math.abs(b[2] - x) < Math.abs(a[2] - x) ? b : a);
  let current = [0, 0];
  const tell = (which, index) => {
    current = [which, index];
    const panel = panels[which], points = longest(panel), [name, , x] = points[index], [, , top, bottom] = panel.box;
    const reach = (points.at(-1)[2] - points[0][2]) / Math.max(1, points.length - 1) / 2;
    const head = document.createElement("b");
    head.textContent = `${panel.x.split(" (")[0]} ${name}`;
    note.replaceChildren(head);
    group.replaceChildren();
    mark("line", {x1: x, x2: x, y1: top, y2: bottom, stroke: "currentColor", "stroke-width": .6, "stroke-dasharray": "2 2"});
    for (const line of panel.lines) {
      const [, value, px, py] = nearest(line.at, x), item = document.createElement("span"), dot = document.createElement("i");
      if (Math.abs(px - x) > reach) continue;  // this line has no value here
      mark("circle", {cx: px, cy: py, r: 2.6, fill: line.color, stroke: "var(--paper)", "stroke-width": .8});
      dot.style.background = line.color;
      item.append(dot, `${line.name} ${value}`);
      note.append(item);
    }
    note.hidden = false;
    const place = new DOMPoint(x, top).matrixTransform(chart.getScreenCTM()), size = note.getBoundingClientRect();
    const left = place.x + 12 + size.width > innerWidth ? place.x - size.width - 12 : place.x + 12;
    note.style.left = `${scrollX + Math.max(4, left)}px`;
    note.style.top = `${scrollY + Math.max(4, place.y)}px`;
  };
  const hide = () => { note.hidden = true; group.replaceChildren() };
  chart.addEventListener("pointermove", event => {
    const {x, y} = new DOMPoint(event.clientX, event.clientY).matrixTransform(chart.getScreenCTM().inverse());
    const which = panels.findIndex(({box: [left, right, top, bottom]}) => x >= left - 2 && x <= right + 2 && y >= top - 2 && y <= bottom + 2);
    if (which < 0) return hide();
    const points = longest(panels[which]);
    tell(which, points.indexOf(nearest(points, x)));
  });
  chart.addEventListener("pointerleave", hide);
  chart.addEventListener("blur", hide);
  chart.addEventListener("keydown", event => {
    const step = {ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0]}[event.key];
    if (!step) return;
    event.preventDefault();
    const which = Math.min(panels.length - 1, Math.max(0, current[0] + step[0]));
    tell(which, Math.min(longest(panels[which]).length - 1, Math.max(0, current[1] + step[1])));
  });
}

// A class lit in every chart, table and legend: by the pointer, or for good by a click or a key.
{
  const marks = () => document.querySelectorAll("[data-class]");
  const known = new Set([...marks()].map(mark => mark.dataset.class));
  for (const cell of document.querySelectorAll("tbody tr > :first-child")) {
    const name = cell.textContent.trim();
    if (!known.has(name)) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.setAttribute("aria-pressed", false);
    button.title = "Show this class in every chart";
    cell.replaceChildren(button);
    cell.parentElement.dataset.class = name;
  }
  let kept;
  const light = name => marks().forEach(mark => {
    mark.classList.toggle("lit", mark.dataset.class === name);
    mark.querySelector("button")?.setAttribute("aria-pressed", mark.dataset.class === kept);
  });
  const under = event => event.target.closest?.("[data-class]")?.dataset.class;
  document.addEventListener("pointerover", event => light(under(event) ?? kept));
  document.addEventListener("click", event => {
    const name = under(event);
    if (!name) return;
    kept = kept === name ? undefined : name;
    light(kept);
  });
}
