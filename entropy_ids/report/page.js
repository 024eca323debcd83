"use strict";
(() => {
  const root = document.documentElement;
  const data = JSON.parse(document.getElementById("data").textContent);
  const charts = new Map();
  const PRINTED_PX = 660, PRINTED_CURVE_PX = 310, HOUR_S = 3600, MOST_LINEAR = 30;

  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const ink = (name) => () => colour(name);
  const iso = (second) => new Date(second * 1000).toISOString();

  function times(u, splits, axis, space, step) {
    let day = "";
    return splits.map((second) => {
      const text = iso(second), date = text.slice(5, 10);
      if (step >= 86400) return date;
      const shown = text.slice(11, 16) + (date === day ? "" : "\n" + date);
      day = date;
      return shown;
    });
  }

  const short = (n) =>
    n >= 1e9 ? +(n / 1e9).toPrecision(3) + "G"
      : n >= 1e6 ? +(n / 1e6).toPrecision(3) + "M"
        : n >= 1e4 ? +(n / 1e3).toPrecision(3) + "k" : String(+n.toPrecision(3));
  const size = (log2) => short(Math.max(0, Math.round(2 ** log2 - 1)));

  /* Ticks of a logarithm at whole numbers, about four of them. */
  function whole(u, at, low, high) {
    const step = Math.max(1, Math.round((high - low) / 4)), ticks = [];
    for (let n = Math.max(0, Math.ceil(low)); n <= high; n += step) ticks.push(n);
    return ticks;
  }

  function axis(more) {
    return {
      stroke: ink("--muted"),
      grid: { stroke: ink("--line"), width: 1 },
      ticks: { show: false },
      font: "12px system-ui, sans-serif",
      ...more,
    };
  }

  /* Fills a stretch of time behind the curves; a minute stays visible in a month. */
  function stretch(u, from, to, fill, top, height) {
    const { left, width } = u.bbox;
    const a = Math.max(left, u.valToPos(from, "x", true));
    const b = Math.min(left + width, u.valToPos(to, "x", true));
    if (b < left || a > left + width) return;
    u.ctx.fillStyle = fill;
    u.ctx.fillRect(a, top, Math.max(b - a, 2 * devicePixelRatio), height);
  }

  /* Shows the value under the pointer. */
  function tip(write) {
    return {
      hooks: {
        init: (u) => {
          u.tip = document.createElement("div");
          u.tip.className = "tip";
          u.over.append(u.tip);
        },
        setCursor: (u) => {
          const at = u.cursor.idx;
          const known = at != null && u.data[1][at] != null;
          u.tip.textContent = known
            ? iso(u.data[0][at]).slice(0, 16).replace("T", " ") + "  " + write(u, at)
            : "";
        },
      },
    };
  }

  function draw(box, columns, series, scale, write, before, more = {}) {
    const options = {
      width: box.clientWidth,
      height: box.clientHeight,
      tzDate: (second) => uPlot.tzDate(new Date(second * 1000), "Etc/UTC"),
      legend: { show: false },
      padding: [8, 8, 0, 0],
      scales: { y: scale },
      axes: [axis({ values: times, space: 70 }), axis({ size: 52, space: 26, ...more.y })],
      series: [{}, ...series],
      cursor: { y: false, ...more.cursor },
      hooks: { drawClear: [before] },
      plugins: [tip(write)],
    };
    charts.set(box, new uPlot(options, columns, box));
  }

  const line = (name, more) => ({
    stroke: ink(name), width: 1.25, points: { show: false }, ...more,
  });

  function marks(u) {
    const { top, height } = u.bbox;
    const strip = 3 * devicePixelRatio;
    for (const [from, to] of data.unscored)
      stretch(u, from, to, colour("--muted"), top + height - strip, strip);
    for (const [from, to] of data.incidents)
      stretch(u, from, to, colour("--tint"), top, height);
  }

  const together = { sync: { key: "timeline" }, points: { size: 5 } };

  function scores(box) {
    const known = data.score.filter((score) => score != null);
    const top = known.reduce((a, b) => Math.max(a, b), 0);
    const least = known.reduce((a, b) => Math.min(a, b), Infinity);
    const limit = data.threshold.find((value) => value != null) ?? 1;
    const log = top > MOST_LINEAR * limit && least > 0;
    const scale = log
      ? { distr: 3 } : { range: (u, low, high) => [0, Math.max(high, limit) * 1.06] };
    draw(
      box,
      [data.minute, data.score, data.threshold],
      [line("--curve"), line("--accent", { dash: [5, 4], width: 1 })],
      scale,
      (u, at) => `score ${short(u.data[1][at])}, threshold ${short(u.data[2][at] ?? 0)}`,
      marks,
      { cursor: together },
    );
  }

  function flows(box) {
    draw(
      box,
      [data.minute, data.flows],
      [line("--curve")],
      { range: (u, low, high) => [0, Math.max(high, 1) * 1.06] },
      (u, at) => u.data[1][at].toLocaleString("en") + " connections",
      marks,
      { cursor: together, y: { values: (u, splits) => splits.map(short) } },
    );
  }

  function curve(box) {
    const it = data.curves[box.dataset.curve];
    const end = it.first + it.values.length;
    const bounds = [it.low, it.high].filter((value) => value != null);
    const show = it.log2 ? size : (value) => String(+value.toFixed(2));
    const range = (u, low, high) => {
      const a = Math.min(low ?? 0, ...bounds), b = Math.max(high ?? 1, ...bounds);
      const room = (b - a || 1) * 0.08;
      return [a - room, b + room];
    };
    const before = (u) => {
      const { left, top, width, height } = u.bbox;
      stretch(u, it.from, it.to, colour("--tint"), top, height);
      if (bounds.length < 2) return;
      const [y1, y0] = bounds.map((value) => u.valToPos(value, "y", true));
      u.ctx.fillStyle = colour("--band");
      u.ctx.fillRect(left, y0, width, Math.max(y1 - y0, devicePixelRatio));
    };
    draw(
      box,
      [data.minute.slice(it.first, end), it.values],
      [line("--ink")],
      { range },
      (u, at) => show(u.data[1][at]),
      before,
      { y: { values: (u, splits) => splits.map(show), ...(it.log2 && { splits: whole }) } },
    );
  }

  function fill(box) {
    if (charts.has(box)) return;
    if (box.id === "score") scores(box);
    else if (box.id === "flows") flows(box);
    else curve(box);
  }

  function zoom(button) {
    const box = document.getElementById("score"), u = charts.get(box);
    const [from, to] = button.dataset.zoom.split(" ").map(Number);
    const everything = { min: data.minute[0], max: data.minute[data.minute.length - 1] };
    const near = { min: from - HOUR_S, max: to + HOUR_S };
    const range = button.dataset.zoom ? near : everything;
    u.setScale("x", range);
    charts.get(document.getElementById("flows")).setScale("x", range);
    document.getElementById("timeline").scrollIntoView();
  }

  const boxes = [...document.querySelectorAll(".chart")];
  const fit = (most) => {
    for (const [box, u] of charts)
      u.setSize({ width: Math.min(box.clientWidth, most(box)), height: box.clientHeight });
  };
  const printed = (box) => (box.id ? PRINTED_PX : PRINTED_CURVE_PX);
  const anyWidth = () => Infinity;
  const seen = new IntersectionObserver(
    (entries) => entries.forEach((one) => one.isIntersecting && fill(one.target)),
    { rootMargin: "600px" },
  );
  boxes.forEach((box) => {
    if (box.id) fill(box);
    else seen.observe(box);
  });
  document.querySelectorAll("button[data-zoom]").forEach((button) => {
    if (charts.size) button.addEventListener("click", () => zoom(button));
    else button.hidden = true;
  });
  addEventListener("resize", () => fit(anyWidth));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
    charts.forEach((u) => u.redraw()));
  addEventListener("beforeprint", () => {
    root.classList.add("paper");
    boxes.forEach(fill);
    fit(printed);
  });
  addEventListener("afterprint", () => {
    root.classList.remove("paper");
    fit(anyWidth);
  });
})();
