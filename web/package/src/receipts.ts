import type { Receipt } from './types.js';

const STORE = 'receipts';

function request<T>(pending: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    pending.onsuccess = () => resolve(pending.result);
    pending.onerror = () => reject(pending.error);
  });
}

async function withStore<T>(mode: IDBTransactionMode, work: (store: IDBObjectStore) => IDBRequest<T>): Promise<T> {
  const opening = indexedDB.open('nearside', 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore(STORE, { keyPath: 'id' });
  const database = await request(opening);
  try {
    const transaction = database.transaction(STORE, mode, { durability: 'strict' });
    const done = new Promise<void>((resolve, reject) => {
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error);
    });
    const result = await request(work(transaction.objectStore(STORE)));
    await done;
    return result;
  } finally {
    database.close();
  }
}

/** The ledger of crossings on this device. */
export const receipts = {
  /** Every receipt, the latest first. */
  async list(): Promise<Receipt[]> {
    const all = (await withStore('readonly', (store) => store.getAll())) as Receipt[];
    return all.sort((left, right) => right.at - left.at);
  },

  /** Forgets every receipt. */
  async clear(): Promise<void> {
    await withStore('readwrite', (store) => store.clear());
  },
};

/** Writes a receipt, or replaces the one with its id. */
export async function writeReceipt(receipt: Receipt): Promise<void> {
  await withStore('readwrite', (store) => store.put(receipt));
}

/** What the crossings so far come to. */
export async function spent(): Promise<{ crossings: number; spent_microdollars: number }> {
  const all = await receipts.list();
  const cost = all.reduce((sum, receipt) => sum + (receipt.cost_microdollars ?? 0), 0);
  return { crossings: all.length, spent_microdollars: cost };
}
