// The page of derd: follows the event stream of the REST API, by a login (a cookie that this script
// never sees) or with the token that the person enters, and shows what it says in words; without a stream it asks each second. It only reads. Everything is written as text, never as markup, and elements
// are kept and changed in place so that focus and selection survive a refresh.
'use strict';

const REFRESH_MS = 1000;
const WHY_MS = 5000; // what is in force, when nothing announces a change
const INVENTORY_MS = 30000;
const FOLLOWED_MS = 15000; // between two readings of all while the stream tells what changes
const SOON_MS = 200; // what changes within is read together
const HEARTBEAT_S = 3;
const SILENCE_MS = 10000; // a stream that is silent for longer is broken
const PATIENCE_MS = 8000;
const TOKEN_KEY = 'derd.token';

const byId = (id) => document.getElementById(id);
const clusterViews = new Map(); // cluster id -> {root, devices: Map(device id -> view)}
let token = sessionStorage.getItem(TOKEN_KEY);
let session = null; // of a login: who it is, and its CSRF token
let clusters = [];
let inventoryAt = 0;
let clockShift = 0; // host's time minus this machine's, ms
let lastAnswerAt = 0;
let timer = 0;
let refreshing = false;
let stream = null; // what ends the stream that is followed
let heardAt = 0; // when the stream said something last; 0: it is not followed

// --- words ------------------------------------------------------------------------------------

const typeWords = {
  meter: 'meter', inverter: 'inverter', battery: 'battery',
  chargingStation: 'charging station', heatPump: 'heat pump',
  gridOperatorBox: 'grid operator’s box',
};

const connectionWords = {
  connecting: 'not reached yet', online: 'online', offline: 'offline: does not answer',
  wrongDevice: 'another device answers at this address; nothing is written to it',
  notConfigured: 'its driver is missing or broken',
  quarantined: 'its driver failed too often: limits and fallback hold, nothing else',
};

const commandWords = {
  none: 'nothing to tell', observed: 'decided, but never sent: this device is only observed',
  pending: 'waits for its turn', sent: 'sent, not confirmed yet',
  confirmed: 'confirmed by the device', rejected: 'the device refused it',
  unsupported: 'the device has no way to do it',
  unreachable: 'the device cannot be reached; it is sent first when it returns',
  diverging: 'the device does not keep to it',
};

const followingWords = {
  within: 'follows', below: 'takes or gives less than it may', above: 'stays above the set point',
};

const withoutSetPointWords = {
  ownControl: 'No set point: the device decides by itself within these bounds.',
  followsMax: 'No set point: the device takes what the upper bound allows.',
  off: 'No set point: the device stays off.',
};

function watts(power) {
  const size = Math.abs(power);
  if (size >= 10000) {
    return `${(size / 1000).toFixed(2)} kW`;
  }
  return `${Math.round(size)} W`;
}

// "4140 W import": the direction in a word, not only a sign.
function directed(power) {
  if (Math.round(power) === 0) {
    return '0 W';
  }
  return `${watts(power)} ${power > 0 ? 'import' : 'export'}`;
}

function hostNow() {
  return Date.now() + clockShift;
}

function ago(time) {
  const seconds = Math.max(0, Math.round((hostNow() - Date.parse(time)) / 1000));
  if (seconds < 120) {
    return `${seconds} s ago`;
  }
  if (seconds < 7200) {
    return `${Math.round(seconds / 60)} min ago`;
  }
  return new Date(time).toLocaleString();
}

function moment(time) {
  const at = new Date(time);
  const sameDay = at.toDateString() === new Date().toDateString();
  return sameDay ? at.toLocaleTimeString() : at.toLocaleString();
}

function creator(name) {
  const [kind, ...rest] = name.split(':');
  return kind === 'policy' ? `policy ${rest.join(':')}` : rest.join(':') || name;
}

// --- the API ----------------------------------------------------------------------------------

class Refused extends Error {}

const entered = () => token !== null || session !== null;
const credentials = () => (token ? { Authorization: `Bearer ${token}` } : {}); // else the cookie

async function api(path) {
  const headers = credentials();
  const answer = await fetch(path, {
    headers, cache: 'no-store', signal: AbortSignal.timeout(PATIENCE_MS),
  });
  const body = await answer.json();
  if (answer.status === 401) {
    throw new Refused(body.detail);
  }
  if (!answer.ok && path !== '/ready') {
    throw new Error(body.detail || `${path}: ${answer.status}`);
  }
  return body;
}

async function all(path) {
  const items = [];
  let cursor = null;
  do {
    const more = cursor ? `&cursor=${encodeURIComponent(cursor)}` : '';
    const page = await api(`${path}?limit=500${more}`);
    items.push(...page.items);
    cursor = page.nextCursor;
  } while (cursor);
  return items;
}

const clusterPath = (cluster) => `/v1/clusters/${encodeURIComponent(cluster.id)}`;

// --- showing ----------------------------------------------------------------------------------

function setText(element, text) {
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

function setList(list, lines) {
  const same = list.children.length === lines.length
    && lines.every((line, i) => list.children[i].textContent === line);
  if (same) {
    return;
  }
  list.replaceChildren(...lines.map((line) => {
    const item = document.createElement('li');
    item.textContent = line;
    return item;
  }));
}

function fromTemplate(id) {
  return byId(id).content.firstElementChild.cloneNode(true);
}

function clusterView(cluster) {
  let view = clusterViews.get(cluster.id);
  if (!view) {
    view = { root: fromTemplate('cluster-template'), devices: new Map() };
    byId('clusters').append(view.root);
    clusterViews.set(cluster.id, view);
  }
  setText(view.root.querySelector('h2'), cluster.name || cluster.key);
  const mode = view.root.querySelector('.mode');
  mode.hidden = cluster.mode !== 'observe';
  setText(mode, 'This site is only observed: derd decides, but writes nothing.');
  return view;
}

function deviceView(view, device) {
  let card = view.devices.get(device.deviceId);
  if (!card) {
    const root = fromTemplate('device-template');
    card = { root, device, find: (name) => root.querySelector(`.${name}`), why: null, whyAt: 0, seen: '' };
    view.root.querySelector('.devices').append(root);
    view.devices.set(device.deviceId, card);
  }
  return card;
}

function showValue(card, device, live) {
  const stale = !live || !device.invalidAt || Date.parse(device.invalidAt) <= hostNow();
  card.root.classList.toggle('stale', stale);
  setText(card.find('power'),
    device.activePower === null ? 'Power unknown' : directed(device.activePower));
  let age = 'Never measured.';
  if (device.updatedAt) {
    age = stale ? `OLD VALUE, measured ${ago(device.updatedAt)}; do not rely on it`
      : `measured ${ago(device.updatedAt)}`;
  }
  setText(card.find('age'), age);
}

function showState(card, device) {
  const parts = [device.state || 'state unknown'];
  if (device.connection !== 'online') {
    parts.unshift(connectionWords[device.connection] || device.connection);
    if (device.connectionDetail) {
      parts.push(device.connectionDetail);
    }
  }
  setText(card.find('state'), parts.join('; '));
  const charge = device.stateOfCharge;
  card.find('charge-row').hidden = charge === null;
  if (charge !== null) {
    card.find('charge-bar').value = charge;
    setText(card.find('charge'), `${Math.round(charge)} %`);
  }
  card.find('able-row').hidden = device.allowedRanges.length === 0;
  setText(card.find('able'), device.allowedRanges.map(([low, high]) => (
    low === high ? directed(low) : `${directed(low)} to ${directed(high)}`)).join(', or '));
}

function showCommand(card, device) {
  const { command } = device;
  card.find('command-row').hidden = !device.controllable || command.state === 'none';
  const parts = [commandWords[command.state] || command.state];
  if (command.following) {
    parts.push(followingWords[command.following] || command.following);
  }
  if (command.detail) {
    parts.push(command.detail);
  }
  setText(card.find('command'), parts.join('; '));
}

// Who asked for it, in one clause.
function who(why, id) {
  if (id === 'device') {
    return 'the limit of the device itself';
  }
  if (id === 'fallback') {
    return "the device's fallback: nobody asks for anything else";
  }
  const found = why.constraints.find((constraint) => constraint.id === id);
  if (!found) {
    return 'unknown';
  }
  const reason = found.reason ? `, "${found.reason}"` : '';
  return `${creator(found.createdBy)}, priority ${found.priority}, until `
    + `${moment(found.invalidAt)}${reason}`;
}

function winnerLines(why) {
  const lines = [];
  const { winners } = why;
  if (why.activePower !== null) {
    lines.push(`Set point ${directed(why.activePower)}: ${who(why, winners.activePower)}.`);
  }
  for (const [field, words] of [['minActivePower', 'Not below'], ['maxActivePower', 'Not above']]) {
    if (why[field] !== null && winners[field] !== 'device') {
      lines.push(`${words} ${directed(why[field])}: ${who(why, winners[field])}.`);
    }
  }
  if (why.activePower === null && lines.length > 0) {
    lines.push(withoutSetPointWords[why.withoutSetPoint] || 'No set point.');
  }
  if (lines.length === 0) {
    lines.push('Nothing: the device is free within what it can do.');
  }
  if (why.limited) {
    lines.push(`${directed(why.wantedActivePower)} was asked for; the device cannot do that now.`);
  }
  if (why.unmet) {
    lines.push('The device cannot keep within what was asked; it does the least it can.');
  }
  return lines;
}

function showWhy(card, device) {
  const { why } = card;
  card.find('force').hidden = !device.controllable || !why;
  if (!why) {
    return;
  }
  setList(card.find('winners'), winnerLines(why));
  const losers = why.constraints
    .filter((constraint) => constraint.outcome && constraint.outcome !== 'applied')
    .map((constraint) => `${creator(constraint.createdBy)}, priority ${constraint.priority}: `
      + `${constraint.explanation || constraint.outcome}.`);
  card.find('losing').hidden = losers.length === 0;
  setList(card.find('losers'), losers);
  card.find('next').hidden = !why.nextChangeAt;
  setText(card.find('next'), why.nextChangeAt ? `Changes next at ${moment(why.nextChangeAt)}.` : '');
}

function showDevice(view, device) {
  const card = deviceView(view, device);
  card.device = device;
  setText(card.find('name'), device.name || device.key);
  setText(card.find('type'), typeWords[device.type] || device.type);
  showValue(card, device, true);
  showState(card, device);
  showCommand(card, device);
  showWhy(card, device);
  return card;
}

// Each second, whatever comes: values age.
function showAges() {
  const live = lastAnswerAt > 0 && (heardAt > 0 || Date.now() - lastAnswerAt < 3 * REFRESH_MS);
  for (const view of clusterViews.values()) {
    for (const card of view.devices.values()) {
      showValue(card, card.device, live);
    }
  }
}

function forgetGone(views, keep, remove) {
  for (const [id, view] of views) {
    if (!keep.has(id)) {
      remove(view);
      views.delete(id);
    }
  }
}

function showNotices(ready) {
  const lines = [];
  if (!ready.ready) {
    lines.push(ready.detail || 'The host is not ready.');
  }
  if (ready.clockTrusted === false) {
    lines.push('The clock of the host cannot be trusted yet: what was in force stays in force.');
  }
  for (const box of ready.gridOperatorsMissing || []) {
    lines.push(`The grid operator’s box of ${box.cluster} is missing: ${box.text}.`);
  }
  for (const problem of ready.siteProblems || []) {
    lines.push(`Site file, ${problem.where}: ${problem.text}`);
  }
  const notices = byId('notices');
  const same = notices.children.length === lines.length
    && lines.every((line, i) => notices.children[i].textContent === line);
  if (!same) {
    notices.replaceChildren(...lines.map((line) => {
      const notice = document.createElement('p');
      notice.className = 'notice';
      notice.textContent = line;
      return notice;
    }));
  }
}

// --- the clock --------------------------------------------------------------------------------

async function readInventory() {
  if (Date.now() - inventoryAt < INVENTORY_MS) {
    return;
  }
  const asked = Date.now();
  const ready = await api('/ready');
  clockShift = Date.parse(ready.at) - (asked + Date.now()) / 2;
  showNotices(ready);
  clusters = await all('/v1/clusters');
  inventoryAt = Date.now();
  forgetGone(clusterViews, new Set(clusters.map((cluster) => cluster.id)),
    (view) => view.root.remove());
}

// Asks again when what is published beside the power has changed, and every few seconds.
async function readWhy(cluster, device, card) {
  const seen = JSON.stringify([device.setPoint, device.minBound, device.maxBound,
    device.command.state]);
  const due = Date.now() - card.whyAt >= WHY_MS
    || (card.why && card.why.nextChangeAt && Date.parse(card.why.nextChangeAt) <= hostNow());
  if (!device.controllable || (seen === card.seen && !due)) {
    return;
  }
  card.why = await api(`${clusterPath(cluster)}/devices/${device.deviceId}/effective`);
  card.whyAt = Date.now();
  card.seen = seen;
  showWhy(card, device);
}

async function readCluster(cluster) {
  const view = clusterView(cluster);
  const devices = await all(`${clusterPath(cluster)}/flexibility`);
  const cards = devices.map((device) => showDevice(view, device));
  forgetGone(view.devices, new Set(devices.map((device) => device.deviceId)),
    (card) => card.root.remove());
  view.root.querySelector('.empty').hidden = devices.length > 0;
  for (let i = 0; i < devices.length; i += 1) {
    await readWhy(cluster, devices[i], cards[i]);
  }
}

function showEntry(refusal) {
  byId('entry').hidden = false;
  byId('leave').hidden = true;
  byId('who').hidden = true;
  byId('refusal').hidden = !refusal;
  setText(byId('refusal'), refusal || '');
  setText(byId('connection'), 'Not connected.');
  byId('clusters').replaceChildren();
  byId('notices').replaceChildren();
  clusterViews.clear();
  inventoryAt = 0;
  byId('password').focus();
}

// --- the stream -------------------------------------------------------------------------------

const following = () => heardAt > 0 && Date.now() - heardAt < SILENCE_MS;

function soon() {
  if (!refreshing) {
    clearTimeout(timer);
    timer = setTimeout(refresh, SOON_MS);
  }
}

function takeEvent(event) {
  const view = clusterViews.get(event.clusterId);
  const card = view && view.devices.get(event.deviceId);
  if (event.type === 'flexibility' && card) {
    showDevice(view, event.data);
    lastAnswerAt = Date.now();
    return;
  }
  if (event.type === 'decision' || event.type === 'constraint') {
    if (card) {
      card.seen = '';
    }
  } else if (event.type !== 'command') {
    inventoryAt = 0; // devices, the site, alarms, or a hole: read all again
  }
  soon();
}

function takeFrame(frame) {
  const data = frame.split('\n').filter((line) => line.startsWith('data: '))
    .map((line) => line.slice(6)).join('\n');
  heardAt = Date.now();
  if (data) {
    takeEvent(JSON.parse(data));
  }
}

// Reads until the stream ends or is silent for too long.
async function readStream(end) {
  const answer = await fetch(`/v1/events?heartbeat=${HEARTBEAT_S}`, {
    headers: credentials(), cache: 'no-store', signal: end.signal,
  });
  if (!answer.ok) {
    return;
  }
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    const frames = (text + part.value).split('\n\n');
    text = frames.pop();
    frames.forEach(takeFrame);
  }
}

// One stream at a time; when it ends the page asks each second until the next one.
async function follow() {
  if (stream) {
    return;
  }
  const end = new AbortController();
  const begunAt = Date.now();
  const watch = setInterval(() => {
    if (Date.now() - (heardAt || begunAt) > SILENCE_MS) {
      end.abort();
    }
  }, REFRESH_MS);
  stream = end;
  try {
    await readStream(end);
  } catch (error) {
    // It broke off: refresh() says whether the host is there.
  }
  clearInterval(watch);
  if (stream === end) {
    stream = null;
    heardAt = 0;
    if (entered()) {
      soon();
    }
  }
}

function unfollow() {
  if (stream) {
    stream.abort();
  }
  stream = null;
  heardAt = 0;
}

// Without answers nothing on the page is live, whatever its own end of trust says.
function showOld() {
  for (const view of clusterViews.values()) {
    for (const card of view.devices.values()) {
      showValue(card, card.device, false);
    }
  }
}

async function refresh() {
  const started = Date.now();
  clearTimeout(timer);
  refreshing = true;
  try {
    await readInventory();
    for (const cluster of clusters) {
      await readCluster(cluster);
    }
    lastAnswerAt = Date.now();
    setText(byId('connection'), clusters.length === 0
      ? 'Connected. There are no clusters: the site file declares none.'
      : `Connected, ${following() ? 'told of each change' : 'refreshed each second'}.`);
    follow();
  } catch (error) {
    if (error instanceof Refused) {
      refreshing = false;
      forget(error.message);
      return;
    }
    const since = lastAnswerAt ? ` The last full answer came at ${moment(lastAnswerAt)}.` : '';
    setText(byId('connection'), `NOT LIVE: ${error.name === 'TypeError' || error.name === 'TimeoutError'
      ? 'the host does not answer.' : error.message}${since}`);
    inventoryAt = 0;
    showOld();
  }
  refreshing = false;
  if (entered()) {
    const pause = following() ? FOLLOWED_MS : REFRESH_MS;
    timer = setTimeout(refresh, Math.max(100, pause - (Date.now() - started)));
  }
}

// --- coming and going -------------------------------------------------------------------------

function forget(refusal) {
  clearTimeout(timer);
  unfollow();
  token = null;
  session = null;
  sessionStorage.removeItem(TOKEN_KEY);
  showEntry(refusal);
}

function begin() {
  byId('entry').hidden = true;
  byId('refusal').hidden = true;
  byId('leave').hidden = false;
  byId('who').hidden = session === null;
  setText(byId('who'), session ? `Account ${session.account}` : '');
  setText(byId('leave'), session ? 'Log out' : 'Forget token');
  setText(byId('connection'), 'Connecting.');
  refresh();
}

// A request about the session itself; {status, body}.
async function askSession(method, headers, body) {
  const answer = await fetch('/v1/session', {
    method, headers, body, cache: 'no-store', signal: AbortSignal.timeout(PATIENCE_MS),
  });
  return { status: answer.status, body: answer.status === 204 ? null : await answer.json() };
}

async function logIn(account, password) {
  const button = byId('login').querySelector('button');
  button.disabled = true;
  try {
    const { status, body } = await askSession('POST', { 'Content-Type': 'application/json' },
      JSON.stringify({ account, password }));
    if (status === 201) {
      session = body;
      begin();
    } else {
      showEntry(body.detail);
    }
  } catch (error) {
    showEntry('The host does not answer.');
  }
  button.disabled = false;
}

async function logOut() {
  const csrf = session.csrfToken;
  forget('');
  try {
    await askSession('DELETE', { 'X-CSRF-Token': csrf });
  } catch (error) {
    showEntry('The host does not answer: the login lasts until it ends by itself.');
  }
}

// The cookie of a login may still be there after a reload; only the host can tell.
async function arrive() {
  if (token) {
    begin();
    return;
  }
  try {
    const { status, body } = await askSession('GET', {});
    session = status === 200 ? body : null;
  } catch (error) {
    session = null;
  }
  if (session) {
    begin();
  } else {
    showEntry('');
  }
}

byId('login').addEventListener('submit', (event) => {
  event.preventDefault();
  const password = byId('password').value;
  byId('password').value = '';
  logIn(byId('account').value.trim(), password);
});
byId('enter').addEventListener('submit', (event) => {
  event.preventDefault();
  token = byId('token').value.trim();
  byId('token').value = '';
  sessionStorage.setItem(TOKEN_KEY, token);
  begin();
});
byId('leave').addEventListener('click', () => (session ? logOut() : forget('')));

setInterval(showAges, REFRESH_MS);
arrive();
