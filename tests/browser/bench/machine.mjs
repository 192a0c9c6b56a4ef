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

/** MiB of memory of all processes whose command line or whose parent's names `mark`; shared pages count in parts. */
function memoryOf(mark) {
  let total = 0;
  for (const id of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      if (belongs(id, mark)) {
        total += Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${id}/smaps_rollup`, 'utf8'))?.[1] ?? 0) / 1024;
      }
    } catch {
      // The process has ended meanwhile.
    }
  }
  return total;
}

function belongs(id, mark) {
  let process = id;
  for (let generation = 0; generation < 6 && process !== '1' && process !== '0'; generation++) {
    if (readFileSync(`/proc/${process}/cmdline`, 'utf8').includes(mark)) {
      return true;
    }
    process = /^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${process}/status`, 'utf8'))?.[1] ?? '1';
  }
  return false;
}

/** Follows the memory of a browser, known by its profile's folder, until `stop`, which gives the peak in MiB. */
export function watchMemory(profile) {
  let peak = 0;
  const look = () => {
    peak = Math.max(peak, memoryOf(profile));
  };
  const timer = setInterval(look, 250);
  return {
    stop() {
      clearInterval(timer);
      look();
      return Math.round(peak);
    },
  };
}
