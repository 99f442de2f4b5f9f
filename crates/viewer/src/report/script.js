"use strict";
// Shows the values under the pointer. The page is complete without it.
(() => {
  const box = document.createElement("div");
  box.id = "hover";
  document.body.append(box);
  const names = [...document.querySelectorAll("#runs [data-name]")].map((element) => element.dataset.name);
  const near = (points, step) => {
    let low = 0, high = points.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (points[middle][0] < step) low = middle + 1; else high = middle;
    }
    return low > 0 && step - points[low - 1][0] < points[low][0] - step ? points[low - 1] : points[low];
  };
  for (const svg of document.querySelectorAll("svg.chart")) {
    const meta = svg.querySelector("metadata"), line = svg.querySelector(".at");
    if (!meta) continue;
    const [left, right, from, to] = ["left", "right", "from", "to"].map((key) => Number(meta.dataset[key]));
    let curves = null;
    svg.addEventListener("pointermove", (event) => {
      curves ??= [...svg.querySelectorAll(".run")].filter((run) => run.dataset.points).map((run) => ({
        run, number: Number(run.dataset.run), points: run.dataset.points.split(" ").map((point) => point.split(",")).map(([x, y]) => [Number(x), y]),
      }));
      const area = svg.getBoundingClientRect();
      const x = (event.clientX - area.left) / area.width * svg.viewBox.baseVal.width;
      const step = from + (x - left) / (right - left) * (to - from);
      const shown = curves.filter(({ run }) => getComputedStyle(run).display !== "none");
      if (shown.length === 0) return;
      const text = shown.map(({ number, points }) => {
        const [at, value] = near(points, step);
        return `${value.padStart(10)}  step ${at}  ${names[number] ?? ""}`;
      });
      box.textContent = text.join("\n");
      box.style.display = "block";
      box.style.left = `${Math.min(event.clientX + 14, innerWidth - box.offsetWidth - 8)}px`;
      box.style.top = `${Math.min(event.clientY + 14, innerHeight - box.offsetHeight - 8)}px`;
      const at = Math.min(Math.max(x, left), right);
      line.setAttribute("x1", at);
      line.setAttribute("x2", at);
      line.style.visibility = "visible";
    });
    svg.addEventListener("pointerleave", () => {
      box.style.display = "none";
      line.style.visibility = "hidden";
    });
  }
})();
