//! Threads that share the parts of one operation.
//!
//! A token is hundreds of operations of a few microseconds each, so a worker that has just finished one
//! waits for the next without sleeping, and only sleeps when none comes for a while. Whoever calls takes
//! parts like any worker, so nothing waits for a worker that is late or was never started.

#![expect(unsafe_code, reason = "workers borrow what the caller lends them until it returns")]

use std::marker::PhantomData;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::thread::Thread;

/// The most threads that work together, the caller among them.
pub const MAX_THREADS: usize = 64;

/// How often a worker looks for work before it sleeps: some tens of microseconds. WebAssembly has no
/// instruction that pauses, so looking takes less time there.
const LOOKS: u32 = if cfg!(target_family = "wasm") { 40_000 } else { 2_000 };

/// What the parts of an operation do, each given its number.
type Work<'a> = dyn Fn(usize) + Sync + 'a;

/// Threads that share the parts of one operation.
#[derive(Debug)]
pub struct Pool {
    shared: Arc<Shared>,
    threads: usize,
    #[cfg(not(target_family = "wasm"))]
    started: Vec<std::thread::JoinHandle<()>>,
}

/// What the threads know of each other.
#[derive(Debug)]
struct Shared {
    /// The number of the job in the upper half, how many of its parts nobody has taken in the lower.
    offer: AtomicU64,
    /// Points to the job's `&Work` while any of its parts is not finished.
    work: AtomicPtr<()>,
    /// Parts not finished.
    unfinished: AtomicU32,
    panicked: AtomicBool,
    stopped: AtomicBool,
    /// Workers from this one on take no part.
    helpers: AtomicUsize,
    /// Held while a job runs; who does not get it works alone.
    entrance: Mutex<()>,
    caller: Sleeper,
    workers: [Sleeper; MAX_THREADS],
}

/// A thread that may have to be woken.
#[derive(Debug)]
struct Sleeper {
    asleep: AtomicBool,
    thread: Mutex<Option<Thread>>,
}

impl Sleeper {
    const fn new() -> Self {
        Self { asleep: AtomicBool::new(false), thread: Mutex::new(None) }
    }

    /// Returns when `ready` says so; `wake` must be called after anything that can make it do so.
    fn wait(&self, ready: impl Fn() -> bool) {
        for _ in 0..LOOKS {
            if ready() {
                return;
            }
            std::hint::spin_loop();
        }
        *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(std::thread::current());
        loop {
            // Either this thread sees what changed, or the one that changed it sees this.
            self.asleep.store(true, Ordering::SeqCst);
            if ready() {
                self.asleep.store(false, Ordering::SeqCst);
                return;
            }
            std::thread::park();
        }
    }

    fn wake(&self) {
        if self.asleep.load(Ordering::SeqCst)
            && self.asleep.swap(false, Ordering::SeqCst)
            && let Some(thread) = &*self.thread.lock().unwrap_or_else(PoisonError::into_inner)
        {
            thread.unpark();
        }
    }
}

impl Shared {
    const fn new() -> Self {
        Self {
            offer: AtomicU64::new(0),
            work: AtomicPtr::new(std::ptr::null_mut()),
            unfinished: AtomicU32::new(0),
            panicked: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            helpers: AtomicUsize::new(0),
            entrance: Mutex::new(()),
            caller: Sleeper::new(),
            workers: [const { Sleeper::new() }; MAX_THREADS],
        }
    }

    /// Works on jobs until the pool stops.
    fn serve(&self, index: usize) {
        let Some(sleeper) = self.workers.get(index) else { return };
        loop {
            let open = || self.offer.load(Ordering::SeqCst) as u32 > 0 && index < self.helpers.load(Ordering::Relaxed);
            sleeper.wait(|| open() || self.stopped.load(Ordering::Relaxed));
            if self.stopped.load(Ordering::Relaxed) {
                return;
            }
            self.take_parts();
        }
    }

    fn take_parts(&self) {
        let mut offer = self.offer.load(Ordering::Acquire);
        while offer as u32 > 0 {
            match self.offer.compare_exchange_weak(offer, offer - 1, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => {
                    self.run_part(offer as u32 as usize - 1);
                    offer = self.offer.load(Ordering::Acquire);
                }
                Err(now) => offer = now,
            }
        }
    }

    /// Runs a part that was taken, and therefore belongs to the job that is being worked on.
    fn run_part(&self, part: usize) {
        let work = self.work.load(Ordering::Acquire).cast::<&Work<'_>>();
        // SAFETY: `run` stored a pointer to a reference on its stack before it offered this part, and does
        // not return before `unfinished`, which counts this part, is 0; only this thread counts it down.
        let work = unsafe { *work };
        if catch_unwind(AssertUnwindSafe(|| work(part))).is_err() {
            self.panicked.store(true, Ordering::Relaxed);
        }
        if self.unfinished.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.caller.wake();
        }
    }

    fn run(&self, parts: u32, helpers: usize, work: &Work<'_>) {
        let work: *const &Work<'_> = &raw const work;
        self.work.store(work.cast_mut().cast::<()>(), Ordering::Release);
        self.unfinished.store(parts, Ordering::Release);
        self.panicked.store(false, Ordering::Relaxed);
        self.helpers.store(helpers, Ordering::Relaxed);
        let job = (self.offer.load(Ordering::Relaxed) >> 32).wrapping_add(1);
        self.offer.store(job << 32 | u64::from(parts), Ordering::SeqCst);
        for worker in self.workers.iter().take(helpers) {
            worker.wake();
        }
        self.take_parts();
        self.caller.wait(|| self.unfinished.load(Ordering::SeqCst) == 0);
        assert!(!self.panicked.load(Ordering::Relaxed), "a part of an operation panicked; its message is above");
    }
}

/// The threads of a page share its memory and are started by its script, so there is one pool for all.
#[cfg(target_family = "wasm")]
static PAGE: std::sync::LazyLock<Arc<Shared>> = std::sync::LazyLock::new(|| Arc::new(Shared::new()));

/// Makes the calling thread worker `index`, from 0 on, of the page's pool. Never returns; for a worker whose
/// memory is shared with the thread that runs the engine.
#[cfg(target_family = "wasm")]
pub fn serve(index: usize) {
    PAGE.serve(index);
}

impl Pool {
    /// A pool of so many threads, the caller among them; at least 1 and at most [`MAX_THREADS`]. In a page
    /// the other threads are those that call `serve`; elsewhere they are started here, and if the system
    /// refuses some there are fewer.
    pub fn new(threads: usize) -> Self {
        let threads = threads.clamp(1, MAX_THREADS);
        #[cfg(target_family = "wasm")]
        return Self { shared: PAGE.clone(), threads };
        #[cfg(not(target_family = "wasm"))]
        {
            let shared = Arc::new(Shared::new());
            let start = |index: usize| {
                let shared = Arc::clone(&shared);
                let builder = std::thread::Builder::new().name(format!("nearside {index}"));
                builder.spawn(move || shared.serve(index)).ok()
            };
            let started: Vec<_> = (0..threads - 1).map_while(start).collect();
            Self { threads: started.len() + 1, shared, started }
        }
    }

    /// As many threads as the machine has; one in a page, where only the page knows how many it started.
    pub fn for_this_machine() -> Self {
        Self::new(std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
    }

    /// How many threads work together.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Calls `work` once with each number below `parts`, in no particular order, and returns when all are
    /// done. While another thread uses the pool, and inside `work`, everything runs on the calling thread.
    ///
    /// # Panics
    /// If `work` does.
    pub fn for_each_part(&self, parts: usize, work: &Work<'_>) {
        let entrance = match self.shared.entrance.try_lock() {
            Ok(entrance) => Some(entrance),
            // A panic came out of an earlier job, which is over.
            Err(TryLockError::Poisoned(entrance)) => Some(entrance.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        match u32::try_from(parts) {
            Ok(count) if entrance.is_some() && self.threads > 1 && parts > 1 => {
                self.shared.run(count, (self.threads - 1).min(parts - 1), work);
            }
            _ => (0..parts).for_each(work),
        }
    }

    /// Calls `work` once with each stretch of `length` items and its number; the last may be shorter.
    pub fn for_each_chunk<T: Send>(&self, items: &mut [T], length: usize, work: &(dyn Fn(usize, &mut [T]) + Sync)) {
        let total = items.len();
        let length = length.max(1);
        let first = Shareable(items.as_mut_ptr());
        self.for_each_part(total.div_ceil(length), &|part| {
            let start = part * length;
            // SAFETY: the stretch lies inside `items`, which is borrowed until all parts are done, and each
            // part has its own stretch, since `for_each_part` gives every number out once.
            let chunk = unsafe { std::slice::from_raw_parts_mut(first.get().add(start), length.min(total - start)) };
            work(part, chunk);
        });
    }
}

impl Pool {
    /// Calls `work` once with each number below `parts` and one of the rooms, in which no other thread is
    /// meanwhile. At most as many threads take part as there are rooms, and nothing runs without one.
    pub fn for_each_part_in<R: Send>(&self, rooms: &mut [R], parts: usize, work: &(dyn Fn(&mut R, usize) + Sync)) {
        let next = AtomicUsize::new(0);
        self.for_each_chunk(rooms, 1, &|_, room| {
            for room in room {
                loop {
                    let part = next.fetch_add(1, Ordering::Relaxed);
                    if part >= parts {
                        break;
                    }
                    work(room, part);
                }
            }
        });
    }

    /// Calls `work` once with each `length` columns of the matrix `items`, whose rows are `width` long, with
    /// their number and with a room as in [`Pool::for_each_part_in`].
    pub fn for_each_columns<T: Send, R: Send>(
        &self,
        rooms: &mut [R],
        (items, width): (&mut [T], usize),
        length: usize,
        work: &(dyn Fn(&mut R, usize, ColumnsMut<'_, T>) + Sync),
    ) {
        let rows = items.len() / width.max(1);
        let length = length.max(1);
        let first = Shareable(items.as_mut_ptr());
        self.for_each_part_in(rooms, width.div_ceil(length), &|room, part| {
            let columns = part * length..width.min((part + 1) * length);
            work(room, part, ColumnsMut { first: first.get(), rows, width, columns, items: PhantomData });
        });
    }
}

/// Some columns of a matrix that is stored row after row.
pub struct ColumnsMut<'a, T> {
    first: *mut T,
    rows: usize,
    width: usize,
    columns: Range<usize>,
    items: PhantomData<&'a mut [T]>,
}

impl<T> ColumnsMut<'_, T> {
    /// These columns' part of a row.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&mut self, row: usize) -> &mut [T] {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        // SAFETY: the stretch lies inside the matrix, which `for_each_columns` borrows until all its parts
        // are done; other parts have other columns, and of these columns this is the only view.
        unsafe {
            std::slice::from_raw_parts_mut(self.first.add(row * self.width + self.columns.start), self.columns.len())
        }
    }
}

/// A pointer that other threads may use.
struct Shareable<T>(*mut T);

// SAFETY: who uses the pointer gives each thread items of its own; `T` may be sent to them.
unsafe impl<T: Send> Sync for Shareable<T> {}

impl<T> Shareable<T> {
    fn get(&self) -> *mut T {
        self.0
    }
}

#[cfg(not(target_family = "wasm"))]
impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        for worker in &self.shared.workers {
            worker.wake();
        }
        for thread in self.started.drain(..) {
            // A worker catches what its work panics with, so there is nothing to pass on.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_runs_once_at_every_size() {
        for threads in [1, 2, 3, 8] {
            let pool = Pool::new(threads);
            for parts in (0..20).chain([100, 1000]) {
                let counts: Vec<AtomicU32> = (0..parts).map(|_| AtomicU32::new(0)).collect();
                pool.for_each_part(parts, &|part| {
                    counts[part].fetch_add(1, Ordering::Relaxed);
                });
                assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1), "{threads} {parts}");
            }
        }
    }

    #[test]
    fn many_small_operations_follow_each_other() {
        let pool = Pool::new(3);
        let mut values = vec![0u32; 1000];
        for _ in 0..5_000 {
            pool.for_each_chunk(&mut values, 300, &|_, values| values.iter_mut().for_each(|value| *value += 1));
        }
        assert!(values.iter().all(|value| *value == 5_000));
    }

    #[test]
    fn workers_that_fell_asleep_are_woken() {
        let pool = Pool::new(2);
        for _ in 0..3 {
            #[cfg(not(target_family = "wasm"))]
            std::thread::sleep(std::time::Duration::from_millis(30));
            let mut values = vec![0u32; 64];
            pool.for_each_chunk(&mut values, 1, &|part, values| values[0] = part as u32);
            assert!(values.iter().enumerate().all(|(index, value)| index as u32 == *value));
        }
    }

    #[test]
    fn columns_and_rooms_belong_to_one_part_each() {
        let pool = Pool::new(3);
        let (rows, width) = (5, 37);
        let mut values = vec![0u32; rows * width];
        let mut rooms = [0usize; 3];
        pool.for_each_columns(&mut rooms, (&mut values, width), 8, &|room, part, mut columns| {
            *room += 1;
            for row in 0..rows {
                columns.row(row).iter_mut().for_each(|value| *value += part as u32 + 1);
            }
        });
        assert_eq!(rooms.iter().sum::<usize>(), 5);
        assert!(values.iter().enumerate().all(|(index, value)| (index % width / 8 + 1) as u32 == *value));
    }

    #[test]
    fn work_inside_work_runs_where_it_is_asked_for() {
        let pool = Pool::new(2);
        let count = AtomicU32::new(0);
        pool.for_each_part(4, &|_| {
            pool.for_each_part(4, &|_| {
                count.fetch_add(1, Ordering::Relaxed);
            });
        });
        assert_eq!(count.load(Ordering::Relaxed), 16);
    }

    #[cfg(not(target_family = "wasm"))]
    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_works_on() {
        let pool = Pool::new(2);
        let result = catch_unwind(AssertUnwindSafe(|| {
            pool.for_each_part(8, &|part| assert_ne!(part, 5, "on purpose"));
        }));
        assert!(result.is_err());
        let mut values = vec![0u32; 8];
        pool.for_each_chunk(&mut values, 1, &|_, values| values[0] = 1);
        assert_eq!(values, [1; 8]);
    }
}
