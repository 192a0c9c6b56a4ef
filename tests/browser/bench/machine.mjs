// What the figures were taken on, and how much else it was doing.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { CHROMIUM } from '../support/browser.mjs';

/** The machine and its browser in a few words. */
export function machine() {
  const browser = execFileSync(CHROMIUM, ['--version'], { encoding: 'utf8' }).split(' built')[0].trim();
  return `${cpus()[0]?.model.trim() ?? 'unknown processor'}, ${availableParallelism()} cores, ${browser}`;
}

/** How many processes wanted to run over the last minute, on average. */
export function load() {
  return Math.round(loadavg()[0] * 100) / 100;
}

/** Processor time of all processes so far, in hundredths of a second: busy, and all there was. */
function processorTime() {
  const [user, nice, system, idle, wait, ...rest] = readFileSync('/proc/stat', 'utf8')
    .split('\n')[0]
    .split(/\s+/)
    .slice(1, 9)
    .map(Number);
  const busy = user + nice + system + rest.reduce((sum, value) => sum + value, 0);
  return { busy, all: busy + idle + wait };
}

/** Waits a while and says which share of the processors was busy: other people's work, when we do nothing. */
export async function foreignWork(milliseconds = 2000) {
  const before = processorTime();
  await new Promise((resolve) => setTimeout(resolve, milliseconds));
  const after = processorTime();
  return Math.round((100 * (after.busy - before.busy)) / Math.max(1, after.all - before.all));
}

/** What a file of a process says; nothing once the process has ended. */
function read(id, name) {
  try {
    return readFileSync(`/proc/${id}/${name}`, 'utf8');
  } catch {
    return '';
  }
}

/** The processes whose command line names `mark`, and all that they started. */
function processesOf(mark) {
  const children = new Map();
  const found = [];
  for (const id of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    // The name in parentheses may hold anything; the parent is the second word after it.
    const parent =
      read(id, 'stat')
        .replace(/^.*\) /s, '')
        .split(' ')[1] ?? '0';
    children.set(parent, [...(children.get(parent) ?? []), id]);
    if (read(id, 'cmdline').includes(mark)) {
      found.push(id);
    }
  }
  const all = new Set(found);
  for (const id of all) {
    for (const child of children.get(id) ?? []) {
      all.add(child);
    }
  }
  return [...all];
}

/** Milliseconds for which the dedicated workers of a browser, known by its profile's folder, had a processor so far. */
export function workerTime(profile) {
  let nanoseconds = 0;
  for (const id of processesOf(profile)) {
    for (const thread of readdirSync(`/proc/${id}/task`)) {
      if (read(id, `task/${thread}/comm`).startsWith('DedicatedWorker')) {
        nanoseconds += Number(read(id, `task/${thread}/schedstat`).split(' ')[0]);
      }
    }
  }
  return nanoseconds / 1e6;
}

/** MiB of memory of these processes; pages that several share count in parts. */
function memoryOf(processes) {
  const kilobytes = processes.map((id) => Number(/^Pss:\s+(\d+)/m.exec(read(id, 'smaps_rollup'))?.[1] ?? 0));
  return kilobytes.reduce((sum, value) => sum + value, 0) / 1024;
}

/** Follows the memory of a browser, known by its profile's folder, until `stop`, which gives the peak in MiB. */
export function watchMemory(profile) {
  let peak = 0;
  const look = () => {
    peak = Math.max(peak, memoryOf(processesOf(profile)));
  };
  let timer = null;
  // One look after the other, with time between them for the server that feeds the browser.
  const again = () => {
    look();
    timer = setTimeout(again, 400);
  };
  again();
  return {
    stop() {
      clearTimeout(timer);
      return Math.round(peak);
    },
  };
}
