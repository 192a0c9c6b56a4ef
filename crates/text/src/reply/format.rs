//! How a family of models marks what it thinks and the tools it calls.

/// A mark that opens something and the one that closes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Marks {
    pub(super) open: &'static str,
    /// Empty where only the end of the answer closes it.
    pub(super) close: &'static str,
}

const fn marks(open: &'static str, close: &'static str) -> Marks {
    Marks { open, close }
}

/// What most families write, and what models are told to write whose template knows no tools.
const THINKING: Marks = marks("<think>", "</think>");
const CALL: Marks = marks("<tool_call>", "</tool_call>");

/// Other ways of marking thoughts; each is looked for only where the template has it.
const OTHER_THINKING: &[Marks] = &[
    marks("[THINK]", "[/THINK]"),
    marks("<thinking>", "</thinking>"),
    marks("<seed:think>", "</seed:think>"),
    marks("<|START_THINKING|>", "<|END_THINKING|>"),
];

/// Other ways of marking calls; each is looked for only where the template has it.
const OTHER_CALLS: &[Marks] = &[
    marks("[TOOL_CALLS]", ""),
    marks("<|tool_call|>", "<|/tool_call|>"),
    marks("<|python_tag|>", ""),
    marks("<function=", "</function>"),
    marks("<|tool_call_start|>", "<|tool_call_end|>"),
    marks("<|START_ACTION|>", "<|END_ACTION|>"),
    marks("<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"),
];

/// Marks within a call.
const INNER: &[&str] = &["[ARGS]", "[CALL_ID]", "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>"];

/// Marks around an answer that say nothing.
const WRAPPERS: &[&str] = &["<response>", "</response>", "<|START_RESPONSE|>", "<|END_RESPONSE|>"];

/// How a model marks what it thinks and the tools it calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyFormat {
    pub(super) thinking: Vec<Marks>,
    pub(super) calls: Vec<Marks>,
    pub(super) wrappers: Vec<&'static str>,
    /// The thoughts that the template itself speaks of.
    thought: Option<Marks>,
    /// Whether a call is best written between `<tool_call>` and `</tool_call>`.
    common: bool,
}

impl Default for ReplyFormat {
    /// `<think>` and `<tool_call>`, which models are told to write whose template knows neither.
    fn default() -> Self {
        Self { thinking: vec![THINKING], calls: vec![CALL], wrappers: Vec::new(), thought: None, common: true }
    }
}

impl ReplyFormat {
    /// The format of models with that chat template.
    pub fn of_template(source: &str) -> Self {
        let known = |marks: &&Marks| source.contains(marks.open);
        let mut format = Self::default();
        format.thinking.extend(OTHER_THINKING.iter().filter(known));
        format.thought = format.thinking.iter().rev().find(known).copied();
        format.calls.extend(OTHER_CALLS.iter().filter(known));
        format.wrappers.extend(WRAPPERS.iter().filter(|mark| source.contains(**mark)));
        // A template that knows no tools has them put in words, which ask for the common marks.
        format.common = source.contains(CALL.open) || !source.contains("tools");
        // Llama 3 calls the tools that it knows by itself behind this mark, which only some of its templates show.
        if source.contains("<|start_header_id|>") && !source.contains("<|python_tag|>") {
            format.calls.push(marks("<|python_tag|>", ""));
        }
        format
    }

    /// The marks that mean something here. Where a vocabulary has one as a token of its own,
    /// [`StreamDecoder::showing`](crate::StreamDecoder::showing) brings it into the text.
    pub fn marks(&self) -> Vec<&'static str> {
        let pairs = self.thinking.iter().chain(&self.calls).flat_map(|marks| [marks.open, marks.close]);
        let all = pairs.chain(INNER.iter().copied()).chain(self.wrappers.iter().copied());
        all.filter(|mark| !mark.is_empty()).collect()
    }

    /// The texts around a call that the model is made to write, each with its line end. They are empty for families
    /// that mark calls with tokens of their own: these write a call alone as well, and it is read as one.
    pub fn call_texts(&self) -> (String, String) {
        if self.common { (format!("{}\n", CALL.open), format!("\n{}", CALL.close)) } else { Default::default() }
    }

    /// The marks around a thought, if the template speaks of thoughts.
    pub fn thought_texts(&self) -> Option<(&'static str, &'static str)> {
        self.thought.map(|marks| (marks.open, marks.close))
    }

    /// The mark that closes the thought which the prompt itself opens, as some templates do.
    pub fn opened_by(&self, prompt: &str) -> Option<&'static str> {
        let prompt = prompt.trim_end();
        self.thinking.iter().find(|marks| prompt.ends_with(marks.open)).map(|marks| marks.close)
    }
}
