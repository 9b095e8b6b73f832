// One study per click: draws a seed for each network and says what a study of these runs reports.
(() => {
  const block = document.currentScript.parentElement;
  const data = JSON.parse(block.querySelector("script[type='application/json']").textContent);
  const body = block.querySelector("tbody"), list = block.querySelector("ul");
  const ranking = block.querySelector(".ranking"), seen = block.querySelector(".seen");
  const rankings = new Set();
  let number = 0;

  function element(name, text) {
    const made = document.createElement(name);
    made.textContent = text;
    return made;
  }

  function tableRow(network, seed) {
    const row = document.createElement("tr");
    const head = element("th", network.name.replaceAll("-", "\u2060-\u2060")); // not broken there
    head.scope = "row";
    row.append(head, ...network.rows[seed].map((text) => element("td", text)));
    return row;
  }

  function conclusion(statement, seeds) {
    const [own, reference] = statement.pair.map((network) => seeds[network]);
    const reported = statement.reported[own][reference];
    const item = element("li", `${reported ? "Reported" : "Not reported"}: `);
    item.append(element(reported ? "strong" : "span", statement.text),
      ` (${statement.effects[own][reference]}) `, element("span", `All runs: ${statement.verdict}.`));
    return item;
  }

  function study() {
    const seeds = data.networks.map((network) => Math.floor(Math.random() * network.scores.length));
    const places = seeds.map((seed, network) => network);
    places.sort((a, b) => data.networks[b].scores[seeds[b]] - data.networks[a].scores[seeds[a]]);
    const order = places.map((network) => data.networks[network].short).join(", ");
    rankings.add(order);
    number += 1;
    body.replaceChildren(...data.networks.map((network, index) => tableRow(network, seeds[index])));
    ranking.textContent = `By test mIoU, best first: ${order}.`;
    list.replaceChildren(...data.statements.map((statement) => conclusion(statement, seeds)));
    seen.textContent = `${number} ${number === 1 ? "study" : "studies"}, `
      + `${rankings.size} ${rankings.size === 1 ? "ranking" : "different rankings"} so far`;
  }

  block.querySelector("button").addEventListener("click", study);
  study();
  block.hidden = false;
})();
