// Values read off a curve: a slider for each panel, moved by keys or by the pointer over the chart.
for (const probes of document.querySelectorAll(".probes")) {
  const chart = probes.parentElement.querySelector("svg"), panels = JSON.parse(probes.querySelector("script").text);
  const make = (name, attributes) => {
    const mark = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) mark.setAttribute(key, value);
    return mark;
  };
  panels.forEach((panel, index) => {
    const [range, output] = probes.querySelectorAll(".probe")[index].children, [left, right, top, bottom] = panel.box;
    const longest = panel.lines.reduce((a, b) => b.at.length > a.at.length ? b : a);
    const reach = (longest.at.at(-1)[2] - longest.at[0][2]) / Math.max(1, longest.at.length - 1) / 2;
    const group = make("g", {"pointer-events": "none", visibility: "hidden"});
    const rule = make("line", {y1: top, y2: bottom, stroke: "currentColor", "stroke-width": .6, "stroke-dasharray": "2 2"});
    group.append(rule);
    chart.append(group);
    const nearest = (line, x) => line.at.reduce((a, b) => Math.abs(b[2] - x) < Math.abs(a[2] - x) ? b : a);
    const tell = seen => {
      const [name, , x] = longest.at[range.value];
      range.setAttribute("aria-valuetext", `${panel.x} ${name}`);
      rule.setAttribute("x1", x);
      rule.setAttribute("x2", x);
      group.replaceChildren(rule);
      const head = document.createElement("b");
      head.textContent = `${panel.x.split(" (")[0]} ${name}`;
      output.replaceChildren(head, " ");
      for (const line of panel.lines) {
        const [at, value, px, py] = nearest(line, x), item = document.createElement("span"), dot = document.createElement("i");
        if (Math.abs(px - x) > reach) continue;  // this line has no value here
        group.append(make("circle", {cx: px, cy: py, r: 2.6, fill: line.color, stroke: "var(--paper)", "stroke-width": .8}));
        dot.style.background = line.color;
        item.append(dot, `${line.name} ${value}`);
        output.append(item, " ");
      }
      if (seen) group.setAttribute("visibility", "visible");
    };
    range.addEventListener("input", () => tell(true));
    chart.addEventListener("pointermove", event => {
      const place = new DOMPoint(event.clientX, event.clientY).matrixTransform(chart.getScreenCTM().inverse());
      if (place.x < left - 2 || place.x > right + 2 || place.y < top - 2 || place.y > bottom + 2) return;
      range.value = longest.at.indexOf(nearest(longest, place.x));
      tell(true);
    });
    tell(false);
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
