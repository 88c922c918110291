// What the program tells -> the page. A message: 4 bytes, the length of a JSON text,
// the text, the images that it names. Each one is answered with {"shown": number}.
"use strict";

const $ = (id) => document.getElementById(id);
const KEYS = "123456789";
const FRAME = 90, GAP = 6, HISTORY_US = 30e6, HISTORY_MS = 200, RETRY_MS = 1000;
const NAMES = {
  J_s: "spikes of the branch that sees the intensity frames",
  LIF1: "spikes of the first layer of neurons that see the event frames",
  LIF2: "of the second layer", LIF3: "of the third layer",
  LIF4: "of the layer that sees both branches", LIF5: "of the last layer, one neuron a class",
};

const SILENT_MS = 3000, GONE_MS = 10000;  // of a connection that is open
const SLOW = 3, BLANK = 3;  // moments in a row, before it is said

let socket = null, about = null, session = "", head = {}, lost = 0, heard = 0, why = "";
let slow = 0, blank = 0, tookMs = 0;  // the newest prediction took; a moment may have none
let frames = new Map(), past = [], drawn = 0, crop = null, drag = null;
let isDone = Promise.resolve();

const text = (id, value) => { if ($(id).textContent !== value) $(id).textContent = value; };
const send = (what) => { if (socket && socket.readyState === 1) socket.send(JSON.stringify(what)); };
const percent = (share) => `${Math.round(100 * share)} %`;
const short = (n) => n >= 1e6 ? `${(n / 1e6).toFixed(1)} M` : n >= 1e4 ? `${Math.round(n / 1e3)} k` : `${Math.round(n)}`;

// ------------------------------------------------------------------------- connection

function connect() {
  socket = new WebSocket(`ws://${location.host}/socket`);
  socket.binaryType = "arraybuffer";
  socket.onmessage = (event) => {
    heard = Date.now();
    isDone = isDone.then(() => take(event.data)).catch((error) => console.error(error));
  };
  socket.onclose = (event) => gone(event.reason);
}

function gone(reason) {
  socket.onclose = socket.onmessage = null;
  lost = lost || Date.now();
  why = reason;
  release();
  alarm();
  // A browser does not tell why a server refused a socket; by another way it does.
  fetch("/socket").then(async (answer) => {
    if ([401, 403, 503].includes(answer.status)) why = (await answer.text()).trim();
  }).catch(() => {}).finally(() => setTimeout(connect, RETRY_MS));
}

async function take(data) {
  const length = new DataView(data).getUint32(0, true);
  const told = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
  if (told.about) return begin(told.about);
  if (told.refused) return note(told.refused);
  let at = 4 + length, images = {};
  try {
    if (!document.hidden) {
      const parts = told.images.map(([name, size]) => {
        const blob = new Blob([new Uint8Array(data, at, size)]);
        at += size;
        return createImageBitmap(blob).then((image) => { images[name] = image; });
      });
      await Promise.all(parts);
    }
    head = told;
    remember(told, images);
    if (!document.hidden) show(images);
  } finally {
    send({ shown: told.sent });
  }
}

function begin(what) {
  about = what;
  lost = 0;
  why = "";
  if (about.session !== session) {  // what another program said is no answer of this one
    for (const images of frames.values()) Object.values(images).forEach((x) => x.close());
    frames.clear();
    past = [];
    head = {};
    for (const id of ["share", "rate", "lost", "events_per_s"]) text(id, "");
    text("word", "\u00a0");
    text("truth", "waiting for the first period");
    fill("spikes", []);
  }
  session = about.session;
  text("source", `${about.source}, ${about.setting}, ${about.device}`);
  document.title = `SEEN live: ${about.source}`;
  fill("bars", about.classes.map((name, i) => {
    const bar = element("div", { className: "bar" });
    const track = element("div", { className: "track" });
    track.append(element("div"));
    track.firstChild.style.background = about.colours[i];
    track.setAttribute("role", "meter");
    track.setAttribute("aria-label", name);
    bar.append(element("span", { textContent: name, title: name }), track, element("span"));
    return bar;
  }));
  fill("keys", about.labels.map((name, i) => {
    const key = element("button", { type: "button", disabled: !about.can_record });
    key.dataset.name = name;
    const place = about.classes.indexOf(name);
    if (place >= 0) key.style.setProperty("--of", about.colours[place]);
    key.addEventListener("pointerdown", (event) => {
      key.setPointerCapture(event.pointerId);
      press(name);
    });
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"])
      key.addEventListener(end, release);
    key.addEventListener("contextmenu", (event) => event.preventDefault());
    key.addEventListener("keydown", (event) => {
      if (event.repeat || !["Enter", " "].includes(event.key)) return;
      event.preventDefault();
      press(name, event.code);
    });
    return key;
  }));
  alarm();
}

function element(kind, fields = {}) { return Object.assign(document.createElement(kind), fields); }
function fill(id, children) { $(id).replaceChildren(...children); }

// ------------------------------------------------------------------------ what is kept

function remember(told, images) {
  for (const point of told.history) {
    if (past.length && point[0] <= past[past.length - 1][0]) past = [];
    past.push(point);
  }
  const newest = past.length ? past[past.length - 1][0] : 0;
  past = past.filter((point) => point[0] > newest - HISTORY_US);
  if (images.event) frames.set(told.number, images);
  for (const number of frames.keys()) {
    if (number <= told.number - about.strip || number > told.number) {
      for (const image of Object.values(frames.get(number))) image.close();
      frames.delete(number);
    }
  }
}

// ------------------------------------------------------------------------- what is shown

function show(images) {
  const status = head.status || {};
  if (images.sensor) {
    paint("sensor", images.sensor);
    paint("events", images.events);
    strip();
  }
  if (head.number !== undefined) numbers();
  labels(status);
  const now = performance.now();
  if (now - drawn > HISTORY_MS) { drawn = now; history(); }
  alarm();
}

function paint(id, image) {
  const canvas = $(id);
  if (canvas.width !== image.width || canvas.height !== image.height)
    Object.assign(canvas, { width: image.width, height: image.height });
  canvas.getContext("2d").drawImage(image, 0, 0);
}

function numbers() {
  const light = head.brightening;
  for (const id of ["sensor", "intensities"])
    $(id).style.filter = light > 1 ? `brightness(${light})` : "";
  text("bright", light > 1 ? `shown ${light} times as bright` : "");
  text("events_per_s", `${short(head.events_per_s)} a second`);
  text("lost", `${head.dropped} dropped, ${head.missed} missed`);
  if (head.latency_ms !== null) {
    tookMs = head.latency_ms;
    text("rate", `${about.frames_per_s.toFixed(1)} Hz, ${tookMs.toFixed(1)} ms`);
  }
  text("word", head.answer || "\u00a0");
  const shares = head.probabilities;
  blank = shares ? 0 : blank + 1;
  slow = head.latency_ms > 1000 / about.frames_per_s ? slow + 1 : shares ? 0 : slow;
  $("answer").classList.toggle("old", blank > BLANK);
  const answer = about.classes.indexOf(head.answer);
  if (shares) {
    text("share", answer < 0 ? "" : percent(shares[answer]));
    [...$("bars").children].forEach((bar, i) => {
      bar.classList.toggle("best", i === answer);
      bar.children[1].firstChild.style.transform = `scaleX(${shares[i]})`;
      bar.children[1].setAttribute("aria-valuenow", shares[i]);
      bar.children[2].textContent = percent(shares[i]);
    });
  }
  const seen = head.label ? `the camera sees: ${head.label}` : "";
  text("truth", blank > BLANK ? "the window is not whole" : seen);
  if (!drag) place(head.crop);
  if (head.spikes) {
    const rows = Object.entries(head.spikes).map(([name, n]) => pair(name, short(n), NAMES[name]));
    rows.push(pair("operations a window", short(head.operations), "weights that spikes add to sums; a dense network multiplies by the zeros, too"));
    fill("spikes", rows);
  } else if (!$("spikes").children.length && head.latency_ms !== null) {
    fill("spikes", [pair("spikes", "not counted by this backend", "--backend=native counts them")]);
  }
}

function pair(name, value, title) {
  const row = element("div", { title: title || "" });
  row.append(element("dt", { textContent: name }), element("dd", { textContent: value }));
  return row;
}

function strip() {
  const style = getComputedStyle(document.documentElement);
  const reads = head.probabilities !== null;
  for (const [id, kind, ages, colour] of [
    ["intensities", "intensity", about.intensity_ages, "--intensity"],
    ["frames", "event", about.event_ages, "--event"],
  ]) {
    const canvas = $(id), width = about.strip * (FRAME + GAP) - GAP;
    if (canvas.width !== width) Object.assign(canvas, { width, height: FRAME });
    const pen = canvas.getContext("2d");
    pen.clearRect(0, 0, width, FRAME);
    for (let age = 0; age < about.strip; age++) {
      const images = frames.get(head.number - age);
      const left = (about.strip - 1 - age) * (FRAME + GAP);
      if (images) pen.drawImage(images[kind], left, 0);
      if (reads && ages.includes(age)) {
        pen.strokeStyle = style.getPropertyValue(colour);
        pen.lineWidth = 6;
        pen.strokeRect(left + 3, 3, FRAME - 6, FRAME - 6);
      }
    }
  }
}

function history() {
  const canvas = $("history"), width = canvas.clientWidth, height = canvas.clientHeight;
  if (!width || !past.length) return;
  Object.assign(canvas, { width, height });
  const pen = canvas.getContext("2d"), newest = past[past.length - 1][0];
  const x = (time) => width * (1 - (newest - time) / HISTORY_US);
  const period = 1e6 / about.frames_per_s, area = height - 12;
  let truth = false;
  for (const [time, shares, label] of past) {
    const left = x(time - period), right = x(time) - left + .5;
    let y = area;
    (shares || []).forEach((share, i) => {
      pen.fillStyle = about.colours[i];
      pen.fillRect(left, y - share * area, right, share * area);
      y -= share * area;
    });
    const place = about.classes.indexOf(label);
    if (place >= 0) {
      truth = true;
      pen.fillStyle = about.colours[place];
      pen.fillRect(left, height - 8, right, 8);
    }
  }
  text("past_text", truth ? "probabilities, stacked; below, what the camera saw" : "probabilities, stacked");
}

function labels(status) {
  const isDriver = head.steering !== "other";
  $("record").disabled = !about.can_record || !isDriver;
  $("record").title = about.can_record ? "record the raw stream (key R)" : "start with --record=DIR to record";
  $("record").setAttribute("aria-pressed", Boolean(status.recording));
  text("record", status.recording ? "recording" : "record");
  $("take").hidden = isDriver;
  $("volunteer").disabled = !about.can_record || !isDriver;
  if (document.activeElement !== $("volunteer") && status.volunteer !== undefined)
    $("volunteer").value = status.volunteer;
  const many = Math.min(about.labels.length, KEYS.length);
  text("labels_text", !isDriver ? "another page steers" : about.can_record
    ? `hold 1 to ${many} while it lasts`
    : "to record and label, start with --record=DIR");
  [...$("keys").children].forEach((key, i) => {
    const name = key.dataset.name, count = (status.clips || {})[name] || 0;
    const value = `${i < KEYS.length ? `${KEYS[i]} ` : ""}${name}${about.can_record ? ` ${count}` : ""}`;
    if (key.textContent !== value) key.textContent = value;
    key.setAttribute("aria-pressed", status.held === name);
    key.disabled = !about.can_record || !isDriver;
  });
  const notes = (status.notes || []).map(([number, what]) => what).reverse();
  if ($("notes").dataset.shown !== notes.join("\n")) {
    $("notes").dataset.shown = notes.join("\n");
    fill("notes", notes.map((what) => element("li", { textContent: what })));
  }
}

function note(what) {
  const item = element("li", { textContent: what });
  $("notes").prepend(item);
  setTimeout(() => item.remove(), 5000);
}

// Everything that is wrong now, the worst first.
function alarm() {
  const status = head.status || {}, wrong = [], silent = Date.now() - heard;
  const seconds = (since) => `${Math.floor((Date.now() - since) / 1000)} s`;
  if (lost) {
    wrong.push(`no connection to the program for ${seconds(lost)}${why ? ` (${why})` : ""}; trying again`);
  } else if (heard && silent > SILENT_MS) {
    wrong.push(`nothing from the program for ${seconds(heard)}`);
  } else if (status.quiet_s) {
    wrong.push(`nothing comes from ${about.source} for ${status.quiet_s} s; trying again`);
  }
  document.body.classList.toggle("old", wrong.length > 0);
  if (status.recorder_failure) wrong.push(`the recording ended: ${status.recorder_failure}`);
  if (status.free_mb != null) wrong.push(`the disk has ${status.free_mb} MB left`);
  if (slow >= SLOW)
    wrong.push(`a prediction took ${tookMs.toFixed(0)} ms, longer than a period`);
  text("alarm", wrong.join(" · "));
  $("alarm").hidden = !wrong.length;
}
setInterval(() => {
  alarm();
  if (!lost && heard && Date.now() - heard > GONE_MS) { socket.close(); gone("silent"); }
}, 1000);

// ------------------------------------------------------------------------ what is asked

let held = "", heldKey = "";  // a key by its place: Shift changes what it writes
function press(name, key = "") {
  if (held) return note(`${name}: release ${held} first`);
  held = name;
  heldKey = key;
  send({ press: name });
}
function release() { if (held) { held = heldKey = ""; send({ release: true }); } }

$("record").addEventListener("click", () => send({ record: !(head.status || {}).recording }));
$("take").addEventListener("click", () => send({ take: true }));
$("volunteer").addEventListener("change", () => send({ volunteer: $("volunteer").value }));
$("volunteer").addEventListener("keydown", (event) => { if (event.key === "Enter") $("volunteer").blur(); });
window.addEventListener("blur", release);
document.addEventListener("visibilitychange", release);
document.addEventListener("keydown", (event) => {
  if (event.repeat || event.ctrlKey || event.altKey || event.metaKey || event.target.tagName === "INPUT") return;
  const place = KEYS.indexOf(event.key);
  if (place >= 0 && about && place < about.labels.length && about.can_record) press(about.labels[place], event.code);
  if (event.key.toLowerCase() === "r" && !$("record").disabled) $("record").click();
});
document.addEventListener("keyup", (event) => { if (event.code === heldKey) release(); });

// The crop: dragged, or moved by the arrow keys, 1 pixel, with Shift 10.
function place(where) {
  const [width, height] = head.sensor_size, [x, y, size] = where;
  crop = where;
  Object.assign($("crop").style, {
    left: percentage(x / width), top: percentage(y / height),
    width: percentage(size / width), height: percentage(size / height),
  });
  $("crop").classList.toggle("whole", size === width && size === height);
  $("crop").setAttribute("aria-valuetext", `${size} x ${size} pixels at ${x}, ${y}`);
}
const percentage = (share) => `${100 * share}%`;

function move(x, y) {
  const [width, height] = head.sensor_size, size = crop[2];
  const within = (value, most) => Math.round(Math.min(Math.max(value, 0), most));
  const where = [within(x, width - size), within(y, height - size), size];
  if (where.join() === crop.join()) return;
  place(where);
  send({ crop: where });
}
$("crop").addEventListener("pointerdown", (event) => {
  if (!crop || head.steering === "other") return;
  $("crop").setPointerCapture(event.pointerId);
  drag = { x: event.clientX, y: event.clientY, from: crop };
});
$("crop").addEventListener("pointermove", (event) => {
  if (!drag) return;
  const scale = head.sensor_size[0] / $("sensor").clientWidth;
  move(drag.from[0] + (event.clientX - drag.x) * scale, drag.from[1] + (event.clientY - drag.y) * scale);
});
for (const end of ["pointerup", "pointercancel"]) $("crop").addEventListener(end, () => { drag = null; });
$("crop").addEventListener("keydown", (event) => {
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  if (!crop || !(event.key in steps)) return;
  event.preventDefault();
  const [dx, dy] = steps[event.key], by = event.shiftKey ? 10 : 1;
  move(crop[0] + by * dx, crop[1] + by * dy);
});

connect();
