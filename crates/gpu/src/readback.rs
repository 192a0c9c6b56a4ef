//! Results come back through a ring of small staging buffers.

use std::collections::VecDeque;

use futures_channel::oneshot;
use nearside_engine::backend::{BackendError, Candidate, Choice, StepOutput, Ticket};
use wgpu::{Buffer, BufferUsages, MapMode, SubmissionIndex};

use crate::adapter::Gpu;
use crate::allocation::Allocations;
use crate::kernels::sample::{RESULT_HEADER, RESULT_WORDS};

/// Steps whose results may be outstanding at once.
pub(crate) const RING: usize = 4;

const USAGE: BufferUsages = BufferUsages::MAP_READ.union(BufferUsages::COPY_DST);

/// What a step brings back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    Nothing,
    /// The choice and so many candidates.
    Sample(usize),
    Logits,
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
    next: usize,
    pending: VecDeque<Pending>,
    vocabulary: usize,
}

impl Readback {
    pub(crate) async fn new(gpu: &Gpu, vocabulary: usize, allocations: &mut Allocations) -> Result<Self, BackendError> {
        let mut staging = Vec::new();
        for _ in 0..RING {
            staging.push(allocations.buffer(gpu, RESULT_WORDS as u64 * 4, USAGE, "a step's result").await?);
        }
        staging.push(allocations.buffer(gpu, vocabulary as u64 * 4, USAGE, "a step's logits").await?);
        Ok(Self { staging, next: 0, pending: VecDeque::new(), vocabulary })
    }

    /// Records in `encoder` how the result leaves; the answer goes to [`Self::submitted`].
    pub(crate) fn copy(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        wanted: Wanted,
        result: &Buffer,
        logits: &Buffer,
    ) -> Option<usize> {
        let (index, source, bytes) = match wanted {
            Wanted::Nothing => return None,
            Wanted::Sample(_) => {
                let index = self.next;
                self.next = (self.next + 1) % RING;
                (index, result, RESULT_WORDS as u64 * 4)
            }
            Wanted::Logits => (RING, logits, self.vocabulary as u64 * 4),
        };
        if let Some(holder) = self.pending.iter().position(|pending| pending.staging == Some(index)) {
            self.discard(holder + 1);
        }
        encoder.copy_buffer_to_buffer(source, 0, &self.staging[index], 0, bytes);
        Some(index)
    }

    /// Forgets the oldest steps.
    fn discard(&mut self, count: usize) {
        for pending in self.pending.drain(..count) {
            if let Some(index) = pending.staging {
                self.staging[index].unmap();
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
        if let Some(index) = staging {
            // Nobody listens any more once the step is discarded.
            self.staging[index].map_async(MapMode::Read, .., move |result| {
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
        gpu.failure.check()?;
        if !done {
            return Err(BackendError::DeviceLost { reason: "a step's result could not be mapped".to_owned() });
        }
        let (wanted, staging) = (pending.wanted, pending.staging);
        let output = match staging {
            Some(index) => read(&self.staging[index], wanted, self.vocabulary),
            None => Ok(StepOutput::default()),
        };
        self.discard(1);
        output
    }
}

fn read(staging: &Buffer, wanted: Wanted, vocabulary: usize) -> Result<StepOutput, BackendError> {
    let view = staging.get_mapped_range(..).map_err(|error| BackendError::DeviceLost { reason: error.to_string() })?;
    let words: Vec<u32> =
        view.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]])).collect();
    Ok(match wanted {
        Wanted::Nothing => StepOutput::default(),
        Wanted::Logits => StepOutput {
            logits: words.iter().take(vocabulary).map(|word| f32::from_bits(*word)).collect(),
            ..StepOutput::default()
        },
        Wanted::Sample(count) => {
            let candidates = words[RESULT_HEADER..]
                .chunks_exact(2)
                .take(count.min(words[2] as usize))
                .map(|pair| Candidate { token: pair[0], logit: f32::from_bits(pair[1]) })
                .collect();
            let choice = Choice { token: words[0], candidates, log_sum_exp: f32::from_bits(words[1]) };
            StepOutput { choices: vec![choice], ..StepOutput::default() }
        }
    })
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
            gpu.failure.check()?;
            Err(BackendError::DeviceLost { reason: error.to_string() })
        }
    }
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
    gpu.failure.check()
}
