// A worker that runs a program compiled for WASI. It knows as much of that as a program needs that prints and tells
// the time. First it compiles the program, which is told with `ready`; then each message is a run, with its arguments.
const text = new TextDecoder();
let module = null;

function system(args, print) {
  let memory = null;
  const view = () => new DataView(memory.buffer);
  const strings = args.map((arg) => new TextEncoder().encode(`${arg}\0`));
  const known = {
    args_sizes_get(count, size) {
      view().setUint32(count, strings.length, true);
      view().setUint32(
        size,
        strings.reduce((sum, string) => sum + string.length, 0),
        true,
      );
      return 0;
    },
    args_get(list, bytes) {
      for (const [index, string] of strings.entries()) {
        view().setUint32(list + 4 * index, bytes, true);
        new Uint8Array(memory.buffer).set(string, bytes);
        bytes += string.length;
      }
      return 0;
    },
    environ_sizes_get(count, size) {
      view().setUint32(count, 0, true);
      view().setUint32(size, 0, true);
      return 0;
    },
    clock_time_get(_clock, _precision, place) {
      view().setBigUint64(place, BigInt(Math.round(performance.now() * 1e6)), true);
      return 0;
    },
    fd_write(_file, list, count, place) {
      let written = 0;
      for (let index = 0; index < count; index++) {
        const start = view().getUint32(list + 8 * index, true);
        const length = view().getUint32(list + 8 * index + 4, true);
        print(text.decode(new Uint8Array(memory.buffer, start, length)));
        written += length;
      }
      view().setUint32(place, written, true);
      return 0;
    },
    random_get: () => 0,
    proc_exit(code) {
      throw code;
    },
  };
  return {
    imports: (name) => known[name] ?? (() => 52),
    use: (exports) => {
      memory = exports.memory;
    },
  };
}

async function run(args) {
  let printed = '';
  const { imports, use } = system(['program', ...args], (part) => {
    printed += part;
  });
  const needed = WebAssembly.Module.imports(module).map(({ name }) => [name, imports(name)]);
  const instance = await WebAssembly.instantiate(module, { wasi_snapshot_preview1: Object.fromEntries(needed) });
  use(instance.exports);
  try {
    instance.exports._start();
  } catch (thrown) {
    if (thrown !== 0) {
      throw new Error(`the program ended with ${thrown}: ${printed}`);
    }
  }
  return printed;
}

self.onmessage = async ({ data }) => {
  try {
    if (module === null) {
      module = await WebAssembly.compileStreaming(fetch(data));
      postMessage({ ready: true });
    } else {
      postMessage({ printed: await run(data) });
    }
  } catch (error) {
    postMessage({ error: String(error) });
  }
};
