//! Results come back through a ring of small staging buffers.

use std::collections::VecDeque;

use futures_channel::oneshot;
use nearside_engine::backend::{BackendError, Candidate, Choice, ExecutorOptions, StepOutput, Ticket};
use nearside_engine::graph::Graph;
use wgpu::{Buffer, BufferUsages, MapMode, SubmissionIndex};

use crate::adapter::Gpu;
use crate::allocation::{Allocations, Verdict};
use crate::binding::Resources;
use crate::kernels::sample::{LEAST, RESULT_HEADER, RESULT_WORDS};
use crate::plan::stride;

/// Steps whose results may be outstanding at once.
pub(crate) const RING: usize = 4;

const USAGE: BufferUsages = BufferUsages::MAP_READ.union(BufferUsages::COPY_DST);

/// What a step brings back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    Nothing,
    /// So many choices, each with so many candidates.
    Sample {
        choices: usize,
        candidates: usize,
    },
    Logits,
    /// The hidden states of so many rows.
    Hidden(usize),
}

/// A step that was submitted.
struct Pending {
    ticket: u64,
    wanted: Wanted,
    /// Absent when nothing is wanted.
    staging: Option<usize>,
    submission: SubmissionIndex,
    done: oneshot::Receiver<bool>,
}

/// The staging buffers, and the steps that were submitted and not yet collected, oldest first.
///
/// A buffer is taken back when its turn comes round again: then the steps up to the one that held it
/// count as discarded, and collecting them fails. So a caller may drop tickets, and nothing fills up.
pub(crate) struct Readback {
    /// [`RING`] buffers for results, then one for logits.
    staging: Vec<Buffer>,
    /// For hidden states, made when they are first wanted.
    hidden_staging: Option<(Buffer, Allocations)>,
    next: usize,
    pending: VecDeque<Pending>,
    vocabulary: usize,
    logits: usize,
    hidden: usize,
    hidden_width: usize,
    batch: usize,
}

/// Where logits and hidden states are staged.
const LOGITS: usize = RING;
const HIDDEN: usize = RING + 1;

impl Readback {
    pub(crate) async fn new(
        gpu: &Gpu,
        graph: &Graph,
        options: ExecutorOptions,
        allocations: &mut Allocations,
    ) -> Result<Self, BackendError> {
        let mut staging = Vec::new();
        let bytes = (options.choices * RESULT_WORDS * 4) as u64;
        for _ in 0..RING {
            staging.push(allocations.buffer(gpu, bytes, USAGE, "a step's result").await?);
        }
        staging.push(allocations.buffer(gpu, graph.vocabulary as u64 * 4, USAGE, "a step's logits").await?);
        Ok(Self {
            staging,
            hidden_staging: None,
            next: 0,
            pending: VecDeque::new(),
            vocabulary: graph.vocabulary,
            logits: graph.logits.0,
            hidden: graph.hidden.0,
            hidden_width: graph.slots[graph.hidden.0],
            batch: options.batch,
        })
    }

    /// Makes room for hidden states if there is none yet; the verdict on it if it is new.
    pub(crate) fn prepare_hidden(&mut self, gpu: &Gpu) -> Option<Verdict> {
        if self.hidden_staging.is_some() {
            return None;
        }
        let mut allocations = Allocations::new(gpu);
        let bytes = (self.batch * stride(self.hidden_width) * 4) as u64;
        let (buffer, verdict) = allocations.start(gpu, bytes, USAGE, "hidden states");
        self.hidden_staging = Some((buffer, allocations));
        Some(verdict)
    }

    fn buffer(&self, index: usize) -> Option<&Buffer> {
        if index == HIDDEN { self.hidden_staging.as_ref().map(|staging| &staging.0) } else { self.staging.get(index) }
    }

    /// Records in `encoder` how the result leaves; the answer goes to [`Self::submitted`].
    pub(crate) fn copy(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        wanted: Wanted,
        resources: &Resources,
    ) -> Option<usize> {
        let (index, source, words) = match wanted {
            Wanted::Nothing => return None,
            Wanted::Sample { choices, .. } => {
                let index = self.next;
                self.next = (self.next + 1) % RING;
                (index, &resources.result, choices * RESULT_WORDS)
            }
            Wanted::Logits => (LOGITS, &resources.slots[self.logits], self.vocabulary),
            Wanted::Hidden(rows) => (HIDDEN, &resources.slots[self.hidden], rows * stride(self.hidden_width)),
        };
        if let Some(holder) = self.pending.iter().position(|pending| pending.staging == Some(index)) {
            self.discard(holder + 1);
        }
        encoder.copy_buffer_to_buffer(source, 0, self.buffer(index)?, 0, words as u64 * 4);
        Some(index)
    }

    /// Forgets the oldest steps.
    fn discard(&mut self, count: usize) {
        for _ in 0..count {
            let staging = self.pending.pop_front().and_then(|pending| pending.staging);
            if let Some(buffer) = staging.and_then(|index| self.buffer(index)) {
                buffer.unmap();
            }
        }
    }

    /// Starts to wait for a step that was just submitted.
    pub(crate) fn submitted(
        &mut self,
        gpu: &Gpu,
        ticket: u64,
        wanted: Wanted,
        staging: Option<usize>,
        submission: SubmissionIndex,
    ) {
        let (sender, done) = oneshot::channel();
        if let Some(buffer) = staging.and_then(|index| self.buffer(index)) {
            // Nobody listens any more once the step is discarded.
            buffer.map_async(MapMode::Read, .., move |result| {
                let _ = sender.send(result.is_ok());
            });
        } else {
            gpu.queue.on_submitted_work_done(move || {
                let _ = sender.send(true);
            });
        }
        self.pending.push_back(Pending { ticket, wanted, staging, submission, done });
        // Steps that bring nothing back hold no buffer; they only must not pile up.
        if self.pending.len() > 16 * RING {
            self.discard(1);
        }
    }

    /// Waits for a step; older ones that nobody collected are discarded.
    pub(crate) async fn collect(&mut self, gpu: &Gpu, ticket: &Ticket) -> Result<StepOutput, BackendError> {
        let Some(index) = self.pending.iter().position(|pending| pending.ticket == ticket.0) else {
            let problem = format!("ticket {} was collected or discarded before", ticket.0);
            return Err(BackendError::InvalidStep { problem });
        };
        self.discard(index);
        let Some(pending) = self.pending.front_mut() else {
            return Ok(StepOutput::default());
        };
        wait(gpu, &pending.submission)?;
        // The step stays pending while it is awaited, so that a dropped future loses nothing.
        let done = (&mut pending.done).await.unwrap_or(false);
        gpu.check()?;
        if !done {
            gpu.failure.set(BackendError::DeviceLost { reason: "a step's result could not be mapped".to_owned() });
            gpu.failure.check()?;
        }
        let (wanted, staging) = (pending.wanted, pending.staging);
        let output = match staging.and_then(|index| self.buffer(index)) {
            Some(buffer) => self.read(buffer, wanted),
            None => Ok(StepOutput::default()),
        };
        self.discard(1);
        output
    }

    fn read(&self, staging: &Buffer, wanted: Wanted) -> Result<StepOutput, BackendError> {
        let words = words(staging)?;
        let floats = |words: &[u32]| words.iter().map(|word| f32::from_bits(*word)).collect::<Vec<_>>();
        Ok(match wanted {
            Wanted::Nothing => StepOutput::default(),
            Wanted::Logits => StepOutput { logits: floats(&words[..self.vocabulary]), ..StepOutput::default() },
            Wanted::Hidden(rows) => {
                let rows = words.chunks(stride(self.hidden_width)).take(rows);
                let hidden = rows.flat_map(|row| floats(&row[..self.hidden_width])).collect();
                StepOutput { hidden, ..StepOutput::default() }
            }
            Wanted::Sample { choices, candidates } => {
                let rows = words.chunks_exact(RESULT_WORDS).take(choices);
                StepOutput { choices: rows.map(|row| choice(row, candidates)).collect(), ..StepOutput::default() }
            }
        })
    }
}

/// The choice in one row's result.
fn choice(words: &[u32], candidates: usize) -> Choice {
    let candidates = words[RESULT_HEADER..]
        .chunks_exact(2)
        .take(candidates.min(words[2] as usize))
        .map(|pair| Candidate {
            token: pair[0],
            logit: if pair[1] == LEAST { f32::NEG_INFINITY } else { f32::from_bits(pair[1]) },
        })
        .collect();
    Choice { token: words[0], candidates, log_sum_exp: f32::from_bits(words[1]) }
}

/// Natively a device only moves on when it is asked to; in a browser it does by itself.
fn wait(gpu: &Gpu, submission: &SubmissionIndex) -> Result<(), BackendError> {
    if cfg!(target_arch = "wasm32") {
        return Ok(());
    }
    let poll = wgpu::PollType::Wait { submission_index: Some(submission.clone()), timeout: None };
    match gpu.device.poll(poll) {
        Ok(_) => Ok(()),
        Err(error) => {
            gpu.failure.set(BackendError::DeviceLost { reason: error.to_string() });
            gpu.failure.check()
        }
    }
}

/// The words that a submission leaves in a staging buffer.
pub(crate) async fn read(gpu: &Gpu, submission: SubmissionIndex, staging: &Buffer) -> Result<Vec<u32>, BackendError> {
    let (sender, done) = oneshot::channel();
    staging.map_async(MapMode::Read, .., move |result| {
        let _ = sender.send(result.is_ok());
    });
    wait(gpu, &submission)?;
    let mapped = done.await.unwrap_or(false);
    gpu.check()?;
    if !mapped {
        return Err(BackendError::DeviceLost { reason: "a buffer could not be mapped".to_owned() });
    }
    let words = words(staging)?;
    staging.unmap();
    Ok(words)
}

/// The words of a buffer that is mapped.
fn words(staging: &Buffer) -> Result<Vec<u32>, BackendError> {
    let view = staging.get_mapped_range(..).map_err(|error| BackendError::DeviceLost { reason: error.to_string() })?;
    Ok(view.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]])).collect())
}

/// Waits until everything up to a submission is done.
pub(crate) async fn finished(gpu: &Gpu, submission: SubmissionIndex) -> Result<(), BackendError> {
    let (sender, done) = oneshot::channel();
    gpu.queue.on_submitted_work_done(move || {
        let _ = sender.send(());
    });
    wait(gpu, &submission)?;
    // The callback is dropped uncalled only when the device is gone, which the failure says.
    let _ = done.await;
    gpu.check()
}
