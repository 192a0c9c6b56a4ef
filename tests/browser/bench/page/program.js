// Runs a program compiled for WASI in some workers at once, each with a memory of its own, as the engine's threads are
// kept to one processor each.

function answer(worker, message) {
  return new Promise((resolve, reject) => {
    worker.onerror = ({ message }) => reject(new Error(message));
    worker.onmessage = ({ data }) => (data.error ? reject(new Error(data.error)) : resolve(data));
    worker.postMessage(message);
  });
}

/** What each of `count` workers printed. They begin together. */
export async function runProgram(url, args, count) {
  const workers = Array.from({ length: count }, () => new Worker(new URL('./wasi.js', import.meta.url)));
  try {
    await Promise.all(workers.map((worker) => answer(worker, url)));
    const answers = await Promise.all(workers.map((worker) => answer(worker, args)));
    return answers.map(({ printed }) => printed);
  } finally {
    for (const worker of workers) {
      worker.terminate();
    }
  }
}
