// Runs a test program that was compiled for WASI, with the machine's files where they are.
import { readFile } from 'node:fs/promises';
import { argv, env, exit } from 'node:process';
import { setFlagsFromString } from 'node:v8';
import { WASI } from 'node:wasi';

// Node 20 dies in one of two runs whose memory grows much: a collection that the growth begins moves what a fast call
// into WASI holds. Without fast calls it never does.
setFlagsFromString('--no-turbo-fast-api-calls');

const [, , program, ...args] = argv;
const wasi = new WASI({ version: 'preview1', args: [program, ...args], env, preopens: { '/': '/' } });
const module = await WebAssembly.compile(await readFile(program));
const instance = await WebAssembly.instantiate(module, wasi.getImportObject());
exit(wasi.start(instance));
