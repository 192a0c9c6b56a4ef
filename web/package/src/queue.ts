/** Hands values that arrive by themselves to one reader that asks for them. */
export class Queue<T> implements AsyncIterator<T, undefined> {
  readonly #values: T[] = [];
  readonly #onReturn: () => void;
  #waiting: { resolve: (result: IteratorResult<T, undefined>) => void; reject: (error: unknown) => void } | null = null;
  #end: { error?: unknown } | null = null;

  /** `onReturn` runs when the reader stops before the end. */
  constructor(onReturn: () => void) {
    this.#onReturn = onReturn;
  }

  push(value: T): void {
    if (this.#end) {
      return;
    }
    if (this.#waiting) {
      this.#waiting.resolve({ done: false, value });
      this.#waiting = null;
    } else {
      this.#values.push(value);
    }
  }

  close(): void {
    this.#end ??= {};
    this.#waiting?.resolve({ done: true, value: undefined });
    this.#waiting = null;
  }

  fail(error: unknown): void {
    if (this.#end) {
      return;
    }
    if (this.#waiting) {
      this.#end = {};
      this.#waiting.reject(error);
      this.#waiting = null;
    } else {
      this.#end = { error };
    }
  }

  next(): Promise<IteratorResult<T, undefined>> {
    const value = this.#values.shift();
    if (value !== undefined) {
      return Promise.resolve({ done: false, value });
    }
    if (this.#end) {
      const { error } = this.#end;
      this.#end = {};
      return error === undefined ? Promise.resolve({ done: true, value: undefined }) : Promise.reject(error);
    }
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }

  return(): Promise<IteratorResult<T, undefined>> {
    this.#values.length = 0;
    if (!this.#end) {
      this.close();
      this.#onReturn();
    }
    return Promise.resolve({ done: true, value: undefined });
  }
}
