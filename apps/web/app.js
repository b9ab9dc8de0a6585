// A picture or the camera, phrases, and the boxes the server finds for them.
//
// One request is under way at a time. For the camera that means the newest frame is always the next
// one asked about, and the frame shown is the one its boxes belong to.

// As sdk/outputs/drawing.py has them: all light enough for black text.
const COLOURS = ["#ffb43c", "#3cc8ff", "#5adc5a", "#f06edc", "#ff5a50", "#6e8cff", "#f0f046", "#8ce6c8"];
const MAX_SIDE = 1280; // the model looks at far fewer pixels: larger pictures only take longer to send
const TYPING_MS = 250;
const OTHERS = 3; // places besides the best, where they are asked for
const TOKEN = location.hash.slice(1); // the server's, where it asks for one: never sent as part of the address

const byId = (id) => document.getElementById(id);
const canvas = byId("canvas");
const stage = byId("stage");
const list = byId("phrases");
const pen = canvas.getContext("2d");

let picture = null; // {image: canvas, blob}: what is shown and asked about
let results = new Map(); // row -> what the server said of its phrase
let video = null; // while the camera runs
let asking = false;
let outdated = false; // something changed while a request was under way
let typing = 0;
let taught = null; // the row whose phrase is taught: the one that was typed in last
let pressed = null; // while a box is drawn: its first corner

// Phrases

function addRow(text = "") {
  const row = byId("row").content.cloneNode(true).firstElementChild;
  const input = row.querySelector("input");
  input.value = text;
  input.addEventListener("input", changed);
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter") addRow();
    else if (event.key === "Escape" && input.value) {
      input.value = "";
      changed();
    }
  });
  row.querySelector(".remove").addEventListener("click", () => {
    const next = row.nextElementSibling ?? row.previousElementSibling;
    row.remove();
    if (taught === row) taught = null;
    if (next) next.querySelector("input").focus();
    else addRow();
    number();
    changed();
  });
  list.append(row);
  number();
  input.focus();
}

function number() {
  [...list.children].forEach((row, index) => {
    row.querySelector(".swatch").style.background = colour(index);
    row.querySelector("input").setAttribute("aria-label", `Phrase ${index + 1}`);
  });
}

const colour = (index) => COLOURS[index % COLOURS.length];
const phrase = (row) => row.querySelector("input").value.trim();

function changed() {
  clearTimeout(typing);
  typing = setTimeout(ask, TYPING_MS);
}

// Asking

async function ask() {
  if (video) return; // its loop asks
  if (asking) {
    outdated = true;
    return;
  }
  asking = true;
  do {
    outdated = false;
    await askAbout(picture);
  } while (outdated);
  asking = false;
}

async function askAbout(shot) {
  const rows = [...list.children].filter(phrase);
  let answers = [];
  let took;
  if (shot && rows.length) {
    const started = performance.now();
    try {
      answers = await ground(shot.blob, rows.map(phrase));
      took = performance.now() - started;
      say("");
    } catch (error) {
      say(error.message);
    }
  }
  if (shot !== picture) return; // another one has taken its place meanwhile
  results = new Map(answers.map((answer, index) => [rows[index], answer]));
  showLatency(took, answers.timings);
  show();
}

// One answer a phrase: {score, found, box, instances} and, where asked for, {alternatives}, or
// {refused} where the server cannot use the phrase.
async function ground(blob, texts) {
  const form = new FormData();
  form.append("image", blob, "frame.jpg");
  texts.forEach((text) => form.append("phrases", text));
  if (byId("others").checked) form.append("alternatives", OTHERS);
  const response = await post("v1/ground", form);
  if (response.status === 503) {
    outdated = await pause(1000, true);
    throw new Error("The server is busy. Trying again ...");
  }
  const answer = await response.json();
  if (response.ok) return Object.assign(answer.results, { timings: answer.timings });
  if (answer.error === "PhraseError" && texts.length > 1) return oneByOne(blob, texts);
  if (answer.error === "PhraseError") {
    return [{ refused: answer.message.replace(/^phrase \d+: /, "") }];
  }
  throw new Error(answer.message);
}

async function post(path, body) {
  const headers = TOKEN ? { Authorization: `Bearer ${TOKEN}` } : {};
  try {
    return await fetch(path, { method: "POST", body, headers });
  } catch {
    throw new Error("The server does not answer. Is it still running?");
  }
}

// One phrase that cannot be used should not silence the others.
async function oneByOne(blob, texts) {
  const answers = [];
  for (const text of texts) answers.push(...(await ground(blob, [text])));
  return answers;
}

const pause = (ms, value) => new Promise((done) => setTimeout(done, ms, value));

// Pictures

async function usePicture(file) {
  stopCamera();
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    say(`"${file.name}" is not a picture that this browser can read.`);
    return;
  }
  picture = await shoot(bitmap, bitmap.width, bitmap.height);
  bitmap.close();
  say("");
  results.clear();
  show();
  ask();
}

// The pixels as they are now, with the JPEG to send: every question about a frame sends the same
// bytes, and the server encodes it once.
async function shoot(source, width, height) {
  const scale = Math.min(1, MAX_SIDE / Math.max(width, height));
  const image = document.createElement("canvas");
  image.width = Math.max(8, Math.round(width * scale));
  image.height = Math.max(8, Math.round(height * scale));
  const context = image.getContext("2d");
  context.fillStyle = "white"; // behind what is transparent
  context.fillRect(0, 0, image.width, image.height);
  context.drawImage(source, 0, 0, image.width, image.height);
  const blob = await new Promise((done) => image.toBlob(done, "image/jpeg", 0.92));
  return { image, blob };
}

// Camera

async function startCamera() {
  say("");
  try {
    const stream = await navigator.mediaDevices.getUserMedia({
      video: { width: { ideal: 640 }, height: { ideal: 480 }, facingMode: "environment" },
    });
    video = document.createElement("video");
    video.muted = video.playsInline = true;
    video.srcObject = stream;
    stream.getVideoTracks()[0].addEventListener("ended", () => {
      stopCamera();
      say("The camera was unplugged, or another program took it.");
    });
    await video.play();
  } catch (error) {
    stopCamera();
    say(cameraTrouble(error));
    return;
  }
  byId("camera").textContent = "Stop the camera";
  byId("camera").setAttribute("aria-pressed", "true");
  watch(video);
}

async function watch(camera) {
  while (video === camera) {
    await new Promise(requestAnimationFrame); // pauses in a hidden tab
    if (video !== camera) return;
    if (isTeaching()) continue; // the picture is held
    picture = await shoot(camera, camera.videoWidth, camera.videoHeight);
    await askAbout(picture);
  }
}

function stopCamera() {
  if (!video) return;
  video.srcObject?.getTracks().forEach((track) => track.stop());
  video = null;
  byId("camera").textContent = "Use the camera";
  byId("camera").setAttribute("aria-pressed", "false");
}

function cameraTrouble(error) {
  if (!navigator.mediaDevices)
    return "The browser gives the camera only to pages from localhost or over HTTPS. Choose a picture instead.";
  const reasons = {
    NotAllowedError:
      "The camera was refused. Allow it for this page in the browser's address bar, or choose a picture.",
    NotFoundError: "There is no camera. Choose a picture instead.",
    NotReadableError: "Another program is using the camera. Close it, or choose a picture.",
  };
  return reasons[error.name] ?? `The camera does not start: ${error.message}. Choose a picture instead.`;
}

// Teaching: a box around what the phrase means that was typed last

async function learn(box) {
  const name = phrase(taught ?? list.lastElementChild);
  if (!name || !picture) return say("Choose a picture and type what the thing is called.");
  const form = new FormData();
  form.append("image", picture.blob, "frame.jpg");
  form.append("name", name);
  if (box) form.append("box", box.join(","));
  try {
    const response = await post("v1/teach", form);
    const answer = await response.json();
    if (!response.ok) return say(answer.message);
    await askAbout(picture);
    say(`"${name}" is learned (boxes: ${answer.examples}, pictures without it: ${answer.absent}).`, false);
  } catch (error) {
    say(error.message);
  }
}

function teaching(on) {
  byId("teach").setAttribute("aria-pressed", String(on));
  byId("absent").hidden = !on;
  canvas.classList.toggle("teaching", on);
  const name = phrase(taught ?? list.lastElementChild);
  say(on ? `Draw a box around "${name}", in as many pictures as you like.` : "", false);
}

const isTeaching = () => canvas.classList.contains("teaching");

// The corner where the mouse was pressed and where it is, in pixels of the picture.
function drawn({ offsetX, offsetY }) {
  const { width, height } = picture.image;
  const zoom = width / canvas.clientWidth;
  const [x, y] = [Math.max(0, Math.min(width, offsetX * zoom)), Math.max(0, Math.min(height, offsetY * zoom))];
  pressed ??= [x, y];
  return [Math.min(pressed[0], x), Math.min(pressed[1], y), Math.max(pressed[0], x), Math.max(pressed[1], y)];
}

fetch("healthz").then(async (response) => { byId("teach").hidden = !(await response.json()).teaching; });
canvas.addEventListener("pointerdown", (event) => {
  if (!isTeaching() || !picture) return;
  canvas.setPointerCapture(event.pointerId);
  drawn(event);
});
canvas.addEventListener("pointermove", (event) => {
  if (!pressed) return;
  show();
  drawBox(drawn(event), canvas.width / picture.image.width, "#fff", 2, 4);
});
canvas.addEventListener("pointerup", (event) => {
  if (!pressed) return;
  const box = drawn(event);
  pressed = null;
  if (Math.min(box[2] - box[0], box[3] - box[1]) > 4) learn(box);
});
canvas.addEventListener("pointercancel", () => { pressed = null; });
byId("teach").addEventListener("click", () => teaching(!isTeaching()));
byId("absent").addEventListener("click", () => learn(null));
list.addEventListener("focusin", ({ target }) => {
  taught = target.closest("li");
  if (isTeaching()) teaching(true);
});

// Showing

const say = (text, isTrouble = true) => {
  if (byId("message").textContent !== text) byId("message").textContent = text;
  byId("message").classList.toggle("trouble", isTrouble);
};

function showLatency(ms, timings) {
  const server = timings ? `, of it ${timings.total_ms.toFixed(0)} ms in the server` : "";
  byId("latency").textContent = ms === undefined ? "" : `${ms.toFixed(0)} ms${server}`;
}

function show() {
  const rows = [...list.children];
  for (const row of rows) {
    const output = row.querySelector("output");
    const [text, kind] = inWords(results.get(row));
    if (output.textContent !== text) output.textContent = text;
    output.className = kind;
  }
  if (!picture) return;
  byId("hint").hidden = true;
  canvas.hidden = false;
  stage.classList.add("filled");
  const { width, height } = picture.image;
  const room = Math.max(0.7 * innerHeight, 240);
  const scale = Math.min(stage.clientWidth / width, room / height);
  canvas.style.width = `${Math.round(width * scale)}px`;
  canvas.style.height = `${Math.round(height * scale)}px`;
  canvas.width = Math.round(width * scale * devicePixelRatio);
  canvas.height = Math.round(height * scale * devicePixelRatio);
  pen.drawImage(picture.image, 0, 0, canvas.width, canvas.height);
  const zoom = canvas.width / width;
  const taken = [];
  const found = [...rows.entries()].filter(([, row]) => results.get(row)?.found);
  for (const [index, row] of found)
    for (const other of results.get(row).alternatives ?? []) drawBox(other.box, zoom, colour(index), 2, 3);
  const named = found.flatMap(([index, row]) =>
    results.get(row).instances.map((place) => [place, results.get(row).text, colour(index)]));
  for (const [place, , stroke] of named) drawBox(place.box, zoom, stroke, 3, 5);
  for (const [place, text, fill] of named) drawLabel(text, place, zoom, fill, taken);
}

function inWords(result) {
  if (!result) return ["", ""];
  if (result.refused) return [result.refused, "refused"];
  const score = result.score.toFixed(2);
  const unknown = result.unknown_words ? `, unknown: ${result.unknown_words.join(", ")}` : "";
  if (!result.found) return [`not there (${score})${unknown}`, ""];
  const count = result.instances.length > 1 ? `found ${result.instances.length}` : "found";
  return [`${count}, ${score}${unknown}`, "found"];
}

function drawBox([left, top, right, bottom], scale, stroke, width, dark) {
  for (const [style, line] of [["#000", dark], [stroke, width]]) {
    pen.strokeStyle = style;
    pen.lineWidth = line * devicePixelRatio;
    pen.strokeRect(left * scale, top * scale, (right - left) * scale, (bottom - top) * scale);
  }
}

// Above its box, or where there is room: labels stay in the picture and off each other.
function drawLabel(text, { score, box }, scale, fill, taken) {
  const size = 15 * devicePixelRatio;
  const high = size * 1.5;
  pen.font = `600 ${size}px system-ui, sans-serif`;
  pen.textBaseline = "middle";
  const label = `${text} ${score.toFixed(2)}`;
  const wide = Math.min(pen.measureText(label).width + size, canvas.width);
  const left = Math.max(0, Math.min(box[0] * scale, canvas.width - wide));
  const [top, bottom] = [box[1] * scale, box[3] * scale];
  const places = [top - high, bottom, top, top + high, bottom - high]
    .filter((y) => y >= 0 && y + high <= canvas.height);
  const free = (y) => taken.every(
    (other) => y >= other.y + high || y + high <= other.y || left >= other.left + other.wide || left + wide <= other.left);
  const y = places.find(free) ?? places[0] ?? 0;
  taken.push({ left, wide, y });
  pen.fillStyle = fill;
  pen.fillRect(left, y, wide, high);
  pen.fillStyle = "#000";
  pen.fillText(label, left + size / 2, y + high / 2, wide - size);
}

// Controls

byId("add").addEventListener("click", () => addRow());
byId("others").addEventListener("change", ask);
byId("choose").addEventListener("click", () => byId("file").click());
byId("file").addEventListener("change", ({ target }) => {
  if (target.files[0]) usePicture(target.files[0]);
  target.value = ""; // so that the same file can be chosen again
});
byId("camera").addEventListener("click", () => (video ? stopCamera() : startCamera()));
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  stage.classList.add("over");
});
document.addEventListener("dragleave", () => stage.classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  stage.classList.remove("over");
  const [file] = event.dataTransfer.files;
  if (file) usePicture(file);
  else say("Drop a picture's file: links are not opened.");
});
addEventListener("resize", show);

addRow();
