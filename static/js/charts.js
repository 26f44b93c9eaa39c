// Charts: <canvas data-chart="id"> and its template of JSON. Colours come from the tokens, so a theme or a brand redraws them.
// Chart.js is fetched only by a page that has a chart.
import { $$, onContent, readJson } from "./dom.js";

const drawn = new Map();
let library = null;

function load() {
  library ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = document.documentElement.dataset.chartSrc;
    script.onload = () => resolve(window.Chart);
    script.onerror = () => reject(new Error("Chart.js did not load"));
    document.head.append(script);
  });
  return library;
}

// A custom property holds its text (light-dark(…), var(…)); painting a probe with it gives the colour it stands for.
function reader() {
  const probe = document.createElement("span");
  document.body.append(probe);
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  return {
    color(name, alpha = 1) {
      probe.style.color = `var(--${name})`;
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = getComputedStyle(probe).color;
      canvas.fillRect(0, 0, 1, 1);
      const [r, g, b] = canvas.getImageData(0, 0, 1, 1).data;
      return `rgb(${r} ${g} ${b} / ${alpha})`;
    },
    close: () => probe.remove(),
  };
}

const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const plain = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });

export function written(value, unit, short = false) {
  if (value == null) return "–";
  switch (unit) {
    case "usd": {
      const amount = Math.abs(value);
      if (short && amount >= 1000) return `$${compact.format(value)}`;
      if (amount === 0) return "$0";
      return amount >= 1 ? `$${value.toLocaleString("en", { minimumFractionDigits: short ? 0 : 2, maximumFractionDigits: 2 })}` : `$${Number(value.toPrecision(3))}`;
    }
    case "ms":
      return Math.abs(value) >= 1000 ? `${plain.format(Number((value / 1000).toFixed(1)))} s` : `${plain.format(value)} ms`;
    case "percent":
      return `${plain.format(value * 100)}%`;
    default:
      return short ? compact.format(value) : plain.format(value);
  }
}

function options(kind, data, unit, read) {
  const horizontal = kind === "hbar";
  const stackedBars = data.stacked ?? (kind === "bar" && data.series.length > 1);
  const values = {
    stacked: stackedBars,
    beginAtZero: data.zero ?? true,
    border: { display: false },
    grid: { color: read.color("line"), drawTicks: false },
    ticks: { color: read.color("text-3"), padding: 8, maxTicksLimit: 6, callback: (value) => written(value, unit, true) },
  };
  // What is counted has no halves.
  if (!unit && data.series.every((series) => series.values.every(Number.isInteger))) values.ticks.precision = 0;
  const labels = {
    stacked: stackedBars,
    border: { display: false },
    grid: { display: false },
    ticks: { color: read.color("text-3"), padding: 6, maxRotation: 0, autoSkipPadding: 20 },
  };
  const font = { family: getComputedStyle(document.body).fontFamily, size: 11 };
  values.ticks.font = font;
  labels.ticks.font = font;
  return {
    responsive: true,
    maintainAspectRatio: false,
    animation: false,
    indexAxis: horizontal ? "y" : "x",
    interaction: { mode: "index", intersect: false, axis: horizontal ? "y" : "x" },
    scales: horizontal ? { x: values, y: labels } : { x: labels, y: values },
    onClick: (event, _active, chart) => {
      if (!data.links) return;
      const [hit] = chart.getElementsAtEventForMode(event.native, "index", { intersect: false }, true);
      const url = hit && data.links[hit.index];
      if (url) window.location.assign(url);
    },
    plugins: {
      legend: { display: false },
      tooltip: {
        backgroundColor: read.color("text"),
        titleColor: read.color("surface"),
        bodyColor: read.color("surface"),
        titleFont: { ...font, size: 12, weight: 600 },
        bodyFont: { ...font, size: 12 },
        padding: 10,
        cornerRadius: 8,
        boxWidth: 8,
        boxHeight: 8,
        boxPadding: 4,
        usePointStyle: false,
        itemSort: (a, b) => b.raw - a.raw,
        filter: (item) => data.series.length < 4 || item.raw !== 0,
        callbacks: { label: (item) => ` ${item.dataset.label}: ${written(item.raw, unit)}` },
      },
    },
  };
}

function draw(Chart, canvas) {
  const data = readJson(canvas.dataset.chart);
  if (!data) return;
  const kind = canvas.dataset.kind || "line";
  const unit = canvas.dataset.unit || "";
  const read = reader();
  drawn.get(canvas)?.destroy();
  const bars = kind !== "line" && kind !== "area";
  const datasets = data.series.map((series, at) => {
    const token = series.tone || `series-${(at % 8) + 1}`;
    const last = at === data.series.length - 1;
    return {
      label: series.name,
      data: series.values,
      borderColor: read.color(token),
      backgroundColor: bars ? read.color(token) : read.color(token, kind === "area" ? 0.12 : 1),
      fill: kind === "area",
      borderWidth: bars ? 0 : 1.75,
      borderDash: series.dashed ? [4, 4] : [],
      borderRadius: bars ? (last || kind === "hbar" ? 3 : 0) : 0,
      maxBarThickness: 36,
      categoryPercentage: 0.8,
      barPercentage: 0.94,
      pointRadius: series.points ? 5 : series.dots ? 2.5 : 0,
      pointBackgroundColor: read.color(token),
      pointBorderColor: read.color(token),
      showLine: !series.points,
      order: series.points ? -1 : 0,
      stepped: series.stepped ? "middle" : false,
      pointHoverRadius: 4,
      pointHoverBackgroundColor: read.color(token),
      pointHoverBorderColor: read.color("surface"),
      pointHoverBorderWidth: 2,
      tension: series.dots ? 0 : 0.25,
      spanGaps: true,
    };
  });
  const settings = options(kind, data, unit, read);
  read.close();
  drawn.set(canvas, new Chart(canvas, { type: bars ? "bar" : "line", data: { labels: data.labels, datasets }, options: settings }));
}

async function drawAll(canvases) {
  if (!canvases.length) return;
  const Chart = await load();
  for (const canvas of canvases) if (canvas.isConnected) draw(Chart, canvas);
}

export function initCharts() {
  onContent((root) => {
    for (const canvas of drawn.keys()) {
      if (canvas.isConnected) continue;
      drawn.get(canvas).destroy();
      drawn.delete(canvas);
    }
    drawAll($$("canvas[data-chart]", root).filter((canvas) => !drawn.has(canvas)));
  });
  document.addEventListener("lobby:theme", () => requestAnimationFrame(() => drawAll([...drawn.keys()])));
}
