// The page: a card for each file, from its upload to its answer.

import * as api from "./api.js";
import { drawChart, pointsOf } from "./chart.js";

const UPLOADS_AT_ONCE = 2;
const LOOK_AGAIN = 600; // ms
const one = (id) => document.getElementById(id);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const cards = new Set();
const waiting = [];
let uploading = 0;
let limits = null;

function announce(text) {
  one("status").textContent = text;
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

class Card {
  constructor(file) {
    this.file = file;
    this.name = file.name;
    this.job = null;
    this.removed = new AbortController();
    this.pictures = new Map();
    this.root = one("card").content.cloneNode(true).firstElementChild;
    this.get(".name").textContent = file.name;
    this.get("progress").setAttribute("aria-label", `Progress of ${file.name}`);
    this.get(".remove").setAttribute("aria-label", `Remove ${file.name}`);
    this.get(".remove").addEventListener("click", () => this.remove());
    this.stage("Waiting to be sent", 0);
    one("results").prepend(this.root);
    cards.add(this);
  }

  get(selector) {
    return this.root.querySelector(selector);
  }

  stage(text, share) {
    this.get(".stage").textContent = text;
    this.get("progress").value = share;
  }

  // Sending is the bar's first half, scoring its second.
  async run() {
    if (limits && this.file.size > limits.max_upload_bytes) {
      return this.fail(`The file is larger than the ${megabytes(limits.max_upload_bytes)} that a request may have.`);
    }
    try {
      this.job = await this.send();
    } catch (error) {
      return this.fail(error.message);
    }
    this.file = null; // the browser may forget it
    if (this.removed.signal.aborted) return api.remove(this.job).catch(() => {});
    this.follow();
  }

  async send() {
    for (;;) {
      try {
        // Asked before much is sent: a refusal is not always heard in the middle of it.
        while (!(await api.about()).free && !this.removed.signal.aborted) await this.waitForPlace(2);
        const progress = (share) => this.stage("Sending", share / 2);
        return await api.send(this.file, { progress, signal: this.removed.signal });
      } catch (error) {
        if (error.status === 401 && !this.removed.signal.aborted) {
          this.stage("Waiting for the token", 0);
          await askForToken("This token is wrong, or there is none.");
        } else if (error.status === 429 && !this.removed.signal.aborted) {
          await this.waitForPlace(error.after);
        } else throw error;
      }
    }
  }

  waitForPlace(seconds) {
    this.stage("The queue is full: waiting for a place", 0);
    return pause(1000 * seconds);
  }

  async follow() {
    let missed = 0;
    while (!this.removed.signal.aborted) {
      try {
        const state = await api.state(this.job);
        missed = 0;
        if (state.state === "done") return this.show(state.files[0]);
        this.stage(state.state === "queued" ? "Waiting for its turn" : "Looking for faces and scoring them", 0.5 + state.progress / 2);
      } catch (error) {
        if (error.status === 404 || ++missed > 20) return this.fail(error.message);
      }
      await pause(LOOK_AGAIN);
    }
  }

  fail(text) {
    if (this.removed.signal.aborted) return;
    this.get(".waiting").hidden = true;
    this.get(".answer").hidden = false;
    this.get(".downloads").hidden = true;
    this.verdict("not scored", "nothing");
    this.problem(text);
    announce(`${this.name}: not scored`);
  }

  verdict(text, kind) {
    this.get(".verdict").textContent = text;
    this.get(".verdict").classList.add(kind);
  }

  problem(text) {
    this.get(".problem").textContent = text;
    this.get(".problem").hidden = !text;
  }

  show({ result, meaning, uncertainty }) {
    this.result = result;
    this.get(".waiting").hidden = true;
    this.get(".answer").hidden = false;
    const finding = result.verdict.split(";")[0] || "no score";
    this.verdict(finding, result.label || "nothing");
    this.get(".meaning").textContent = meaning;
    this.get(".uncertainty").textContent = uncertainty;
    this.problem(result.error);
    this.get(".json").addEventListener("click", () => this.saveJson());
    this.get(".report").addEventListener("click", () => this.saveReport());
    announce(`${this.name}: ${finding}`);
    if (result.tracks.length) this.showFaces();
  }

  showFaces() {
    const { result } = this;
    this.points = pointsOf(result.tracks);
    this.get(".found").hidden = false;
    for (const [row, track] of result.tracks.entries()) this.get("tbody").append(trackRow(track, row));
    this.get(".overlay").addEventListener("change", () => this.look());
    this.get(".previous").addEventListener("click", () => this.choose(this.chosen - 1));
    this.get(".next").addEventListener("click", () => this.choose(this.chosen + 1));
    const single = this.points.every((point) => point.frame === this.points[0].frame);
    this.get(".over-time").hidden = single;
    this.get(".previous").hidden = this.get(".next").hidden = this.points.length === 1;
    this.mark = single ? () => {} : drawChart(this.get(".chart"), result, this.points, (index) => this.choose(index));
    // The highest score of the person who decides comes first.
    const own = this.points.filter((point) => result.tracks[point.row].score === result.score);
    const highest = own.reduce((a, b) => (b.score > a.score ? b : a), own[0] ?? this.points[0]);
    this.choose(this.points.indexOf(highest));
  }

  choose(index) {
    this.chosen = index;
    this.mark(index);
    this.get(".previous").disabled = index === 0;
    this.get(".next").disabled = index === this.points.length - 1;
    this.look();
  }

  async look() {
    const point = this.points[this.chosen];
    const overlay = this.get(".overlay").checked;
    const image = this.get(".viewer img");
    const what = `face ${point.track}, score ${point.score.toFixed(3)}, at ${point.timestamp.toFixed(2)} s (frame ${point.frame})`;
    try {
      const address = await this.picture(point.frame, overlay);
      if (this.points[this.chosen] !== point || this.get(".overlay").checked !== overlay) return;
      image.src = address;
      image.alt = overlay ? `Frame with boxes and heat map: ${what}` : `Frame: ${what}`;
      image.hidden = false;
      this.get(".caption").textContent = `${what[0].toUpperCase()}${what.slice(1)}`;
    } catch (error) {
      this.get(".caption").textContent = `The frame cannot be shown: ${error.message}`;
    }
  }

  async picture(frame, overlay) {
    const key = `${frame} ${overlay}`;
    if (!this.pictures.has(key)) {
      this.pictures.set(key, URL.createObjectURL(await api.frame(this.job, frame, overlay)));
    }
    return this.pictures.get(key);
  }

  saveJson() {
    const text = `${JSON.stringify([this.result], null, 1)}\n`;
    save(new Blob([text], { type: "application/json" }), "predictions.json");
  }

  async saveReport() {
    try {
      save(await api.report(this.job), "matnet-report.html");
    } catch (error) {
      this.problem(`The report cannot be had: ${error.message}`);
    }
  }

  remove() {
    this.removed.abort();
    cards.delete(this);
    this.root.remove();
    this.pictures.forEach((address) => URL.revokeObjectURL(address));
    if (this.job) api.remove(this.job).catch(() => {});
    announce(`${this.name} was removed`);
    one("files").focus();
  }
}

function trackRow(track, row) {
  const line = document.createElement("tr");
  const head = document.createElement("th");
  head.scope = "row";
  const key = document.createElement("span");
  key.className = `key t${row % 6}`;
  head.append(key, `face ${track.track}`);
  const times = track.faces.map((face) => face.timestamp);
  const seen = `${Math.min(...times).toFixed(2)} – ${Math.max(...times).toFixed(2)}`;
  const cells = [track.score.toFixed(3), track.faces.length, seen].map((text) => {
    const cell = document.createElement("td");
    cell.textContent = text;
    return cell;
  });
  line.append(head, ...cells);
  return line;
}

const megabytes = (bytes) => `${Math.round(bytes / 2 ** 20)} MB`;

function add(files) {
  for (const file of files) waiting.push(new Card(file));
  announce(`${files.length} ${files.length === 1 ? "file" : "files"} added`);
  next();
}

async function next() {
  while (uploading < UPLOADS_AT_ONCE && waiting.length) {
    const card = waiting.shift();
    if (card.removed.signal.aborted) continue;
    uploading += 1;
    card.run().finally(() => {
      uploading -= 1;
      next();
    });
  }
}

// Several may wait for one token.
let asked = null;
function askForToken(problem) {
  asked ??= new Promise((resolve) => {
    one("token-form").hidden = false;
    one("token-problem").textContent = problem ?? "";
    one("token-problem").hidden = !problem;
    one("token").focus();
    one("token-form").onsubmit = (event) => {
      event.preventDefault();
      api.useToken(one("token").value.trim());
      one("token").value = "";
      one("token-form").hidden = true;
      asked = null;
      resolve();
    };
  });
  return asked;
}

async function greet() {
  for (let problem; ; problem = "This token is wrong.") {
    try {
      limits = await api.about();
      const minutes = Math.round(limits.kept_seconds / 60);
      one("limits").textContent =
        `At most ${megabytes(limits.max_upload_bytes)} a file. Results are kept for ${minutes} minutes at most.`;
      return;
    } catch (error) {
      if (error.status !== 401) return announce(error.message);
      await askForToken(problem);
    }
  }
}

one("files").addEventListener("change", (event) => {
  add([...event.target.files]);
  event.target.value = "";
});
addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dragging");
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dragging");
});
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dragging");
  add([...event.dataTransfer.files]);
});
// A page that is put aside may come back; one that is closed needs its results no more.
addEventListener("pagehide", (event) => {
  if (!event.persisted) cards.forEach((card) => card.job && api.remove(card.job).catch(() => {}));
});
greet();
