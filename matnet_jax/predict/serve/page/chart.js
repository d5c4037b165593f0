// Scores over time as an SVG whose points are options of a list box: one is chosen, by mouse or keys.

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 220;
const ROOM = { left: 34, right: 14, top: 10, bottom: 26 };

function made(name, attributes, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

// All faces of all tracks in order of time.
export function pointsOf(tracks) {
  const points = tracks.flatMap((track, row) => track.faces.map((face) => ({ ...face, track: track.track, row })));
  return points.sort((a, b) => a.timestamp - b.timestamp || a.row - b.row);
}

// Draws into `place`; `choose(index)` is called when a point is chosen. Returns what marks one.
export function drawChart(place, result, points, choose) {
  let chosen = 0;

  function draw() {
    const width = Math.max(place.clientWidth, 260);
    const first = points[0].timestamp;
    const last = Math.max(points.at(-1).timestamp, first + 0.1);
    const x = (seconds) => ROOM.left + ((seconds - first) / (last - first)) * (width - ROOM.left - ROOM.right);
    const y = (score) => ROOM.top + (1 - score) * (HEIGHT - ROOM.top - ROOM.bottom);
    const end = width - ROOM.right;
    const svg = made("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, role: "listbox", "aria-label": "Score over time" });
    if (result.uncertain) {
      const [low, high] = result.uncertain;
      svg.append(made("rect", { class: "band", x: ROOM.left, y: y(high), width: end - ROOM.left, height: y(low) - y(high) }));
    }
    for (const score of [0, 0.5, 1]) {
      svg.append(
        made("line", { class: "axis", x1: ROOM.left, x2: end, y1: y(score), y2: y(score) }),
        made("text", { x: ROOM.left - 6, y: y(score) + 4, "text-anchor": "end", "aria-hidden": true }, String(score)),
      );
    }
    const seconds = (value) => `${value.toFixed(value < 10 ? 1 : 0)} s`;
    svg.append(
      made("line", { class: "threshold", x1: ROOM.left, x2: end, y1: y(result.threshold), y2: y(result.threshold) }),
      made("text", { x: ROOM.left, y: HEIGHT - 6, "aria-hidden": true }, seconds(first)),
      made("text", { x: end, y: HEIGHT - 6, "text-anchor": "end", "aria-hidden": true }, seconds(last)),
    );
    result.tracks.forEach((track, row) => {
      const own = points.filter((point) => point.row === row);
      const path = own.map((point) => `${x(point.timestamp)},${y(point.score)}`).join(" ");
      svg.append(made("polyline", { class: `line t${row % 6}`, points: path, "aria-hidden": true }));
    });
    points.forEach((point, index) => {
      const at = { cx: x(point.timestamp), cy: y(point.score) };
      const option = made(
        "g",
        {
          class: `point t${point.row % 6}`,
          role: "option",
          "aria-selected": index === chosen,
          tabindex: index === chosen ? 0 : -1,
          "aria-label": `${point.timestamp.toFixed(2)} seconds, face ${point.track}, score ${point.score.toFixed(3)}`,
        },
        made("circle", { class: "target", r: 11, ...at }),
        made("circle", { class: "dot", r: 4.5, ...at }),
      );
      option.addEventListener("click", () => choose(index));
      svg.append(option);
    });
    svg.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      choose(Math.min(Math.max(chosen + step, 0), points.length - 1));
      place.querySelector('[aria-selected="true"]').focus();
    });
    const focused = place.contains(document.activeElement);
    place.replaceChildren(svg);
    if (focused) place.querySelector('[aria-selected="true"]').focus();
  }

  let width = 0;
  new ResizeObserver(() => {
    if (place.clientWidth === width) return;
    width = place.clientWidth;
    draw();
  }).observe(place);

  return (index) => {
    chosen = index;
    place.querySelectorAll(".point").forEach((option, i) => {
      option.setAttribute("aria-selected", i === index);
      option.setAttribute("tabindex", i === index ? 0 : -1);
    });
  };
}
