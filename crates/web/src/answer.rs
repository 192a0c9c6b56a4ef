//! One request: rules, first tokens, decision, and the near answer where it is near's to give.

use std::ops::ControlFlow;

use js_sys::Function;
use nearside_chat::{Defaults, Plan, token_logprob};
use nearside_engine::backend::Backend;
use nearside_engine::{EngineError, Event, GenerateOptions, Generation, Speculation};
use nearside_route::{
    Consent, Decision, Mode, Policy, Profile, RequestFacts, Side, Signal, Situation, decide as hold,
    lowest_margin_signal, margin_signal, rules, score,
};
use nearside_wire::{ChatRequest, NearsideNote};
use serde::Serialize;
use wasm_bindgen::JsValue;

use crate::device::Device;
use crate::engine::{Engine, Foresight, Habits, WhenFull};
use crate::error::WebError;
use crate::host::Host;
use crate::javascript::{from_js, goes_on, to_json, unix_seconds};
use crate::routing::Route;
use crate::source::Source;
use crate::stream::Stream;

/// How many first tokens are weighed, and held back meanwhile. More would see better and show later.
const WATCHED_TOKENS: usize = 8;

/// A request with the policy it is under.
pub(crate) struct Asked {
    request: ChatRequest,
    policy: Policy,
    situation: Situation,
    profile: Profile,
    model: String,
}

/// What became of a request.
#[derive(Serialize)]
#[serde(tag = "side", rename_all = "lowercase")]
pub(crate) enum Outcome {
    /// It was answered here.
    Near,
    /// It should cross. Nothing of an answer was shown.
    Far {
        /// Why.
        decision: Decision,
    },
}

impl Asked {
    /// Reads and checks what came from JavaScript.
    pub(crate) fn read(request: &JsValue, route: JsValue, model: String) -> Result<Self, WebError> {
        let request = ChatRequest::from_json(to_json("request", request)?.as_bytes())?;
        let (policy, situation) = from_js::<Route>("policy", route)?.split();
        Ok(Self { request, policy, situation, profile: Profile::uncalibrated(), model })
    }

    /// What the engine is given.
    fn plan(&self, engine: &nearside_engine::Engine, habits: Habits) -> Result<Plan, WebError> {
        let defaults = Defaults {
            // Without a seed, asking twice may give two answers.
            seed: (js_sys::Math::random() * 2_f64.powi(52)) as u64,
            max_tokens: GenerateOptions::default().max_tokens,
            now: unix_seconds().cast_signed(),
            slides: matches!(habits.when_full, WhenFull::Slide),
            speculation: match habits.speculation {
                Foresight::None => Speculation::None,
                Foresight::Lookup => Speculation::Lookup,
            },
        };
        Ok(Plan::new(&self.request, engine, defaults)?)
    }

    fn facts(&self, prompt_tokens: usize, context: Option<usize>) -> RequestFacts {
        let last_user = self.request.messages.iter().rev().find(|message| message.role == "user");
        RequestFacts {
            text: last_user.map(nearside_wire::ChatMessage::text).unwrap_or_default(),
            prompt_tokens,
            answer_tokens: self.request.token_limit().unwrap_or(0),
            context,
            attachments: self.request.attachments(),
            force: None,
        }
    }

    fn decide(&self, signals: &[Signal]) -> Decision {
        hold(&score(signals, &self.profile), &self.policy, &self.situation)
    }

    /// Whether more signals could still send the request away.
    fn may_cross(&self) -> bool {
        self.policy.mode != Mode::NearOnly && self.situation.far_ready && self.situation.consent != Consent::Refused
    }
}

/// How many tokens a conversation may have here; as many as it likes where its beginning may be forgotten.
fn room(engine: &nearside_engine::Engine, habits: Habits) -> Option<usize> {
    match habits.when_full {
        WhenFull::Stop => Some(engine.info().context),
        WhenFull::Slide => None,
    }
}

/// Scores a request: the rules, and unless these settle it, the first tokens.
pub(crate) async fn decide(engine: &mut Engine, asked: &Asked, go_on: &Function) -> Result<Decision, WebError> {
    let Engine { loaded: engine, conversations, device, habits, .. } = engine;
    let plan = asked.plan(engine, *habits)?;
    let mut signals = rules(&asked.facts(plan.prompt().len(), room(engine, *habits)));
    let first = asked.decide(&signals);
    if first.side == Side::Far || first.blocked || !asked.may_cross() {
        return Ok(first);
    }
    let options = GenerateOptions { max_tokens: WATCHED_TOKENS, ..plan.options(0) };
    let session = conversations.session(engine, plan.prompt())?;
    let mut generation = engine.generate(session, plan.prompt(), options).map_err(|error| refused(&plan, error))?;
    let mut margins = Vec::new();
    while let Some(event) = next(&mut generation, device).await? {
        if let Event::Token(token) = event {
            margins.push(token.margin);
        }
        if !goes_on(go_on, &JsValue::NULL).await? {
            return Err(WebError::Aborted);
        }
    }
    signals.extend([margin_signal(&margins), lowest_margin_signal(&margins)]);
    Ok(asked.decide(&signals))
}

/// Answers a request near, unless the decision is far.
pub(crate) async fn answer(engine: &mut Engine, asked: &Asked, emit: &Function) -> Result<Outcome, WebError> {
    let mut begun = false;
    match attempt(engine, asked, emit, &mut begun).await {
        // A browser says only when a step runs that there is no room for another conversation.
        Err(error) if !begun && error.is_out_of_memory() && engine.conversations.give_way(&mut engine.loaded) => {
            attempt(engine, asked, emit, &mut begun).await
        }
        outcome => outcome,
    }
}

/// Answers once; says whether a step has run, before which nothing is passed on.
async fn attempt(engine: &mut Engine, asked: &Asked, emit: &Function, begun: &mut bool) -> Result<Outcome, WebError> {
    let Engine { loaded: engine, conversations, device, habits, .. } = engine;
    let plan = asked.plan(engine, *habits)?;
    let mut signals = rules(&asked.facts(plan.prompt().len(), room(engine, *habits)));
    let decision = asked.decide(&signals);
    if decision.blocked {
        let context = engine.info().context;
        if room(engine, *habits).is_some() && plan.prompt().len() > context {
            return Err(EngineError::PromptTooLong { tokens: plan.prompt().len(), context }.into());
        }
        return Err(WebError::Blocked { reasons: decision.reasons.join(" ") });
    }
    if decision.side == Side::Far {
        return Ok(Outcome::Far { decision });
    }
    let mut stream = Stream::new(emit, &asked.model, note(&decision));
    let mut margins = Vec::new();
    let mut watching = asked.may_cross();
    let session = conversations.session(engine, plan.prompt())?;
    // All answers have the session in turn: the prompt stays in it, so that only its last token is read again.
    for answer in 0..plan.answers() {
        if answer > 0 {
            stream.begin(answer);
        }
        let mut speaker = plan.speaker(&format!("{}_{answer}", stream.id()));
        let mut finish = None;
        let options = plan.options(answer);
        let mut generation = engine.generate(session, plan.prompt(), options).map_err(|error| refused(&plan, error))?;
        while let Some(event) = next(&mut generation, device).await? {
            if !std::mem::replace(begun, true) && !watching {
                stream.open(note(&decision)).await?;
            }
            match event {
                Event::Prefill { .. } | Event::Slid { .. } => stream.turn().await?,
                Event::Token(token) => {
                    margins.push(token.margin);
                    let probability = plan.logprobs().then(|| token_logprob(generation.tokenizer(), &token));
                    stream.token(speaker.push(&token.text), probability).await?;
                }
                Event::Finished(end) => finish = Some(end),
            }
            if watching && (finish.is_some() || margins.len() == WATCHED_TOKENS) {
                watching = false;
                signals.extend([margin_signal(&margins), lowest_margin_signal(&margins)]);
                let decision = asked.decide(&signals);
                if decision.side == Side::Far {
                    return Ok(Outcome::Far { decision });
                }
                stream.open(note(&decision)).await?;
            }
        }
        if let Some(finish) = finish {
            let (deltas, reason) = speaker.finish(&finish.text_tail, finish.reason);
            stream.finish(&finish, deltas, reason, answer + 1 == plan.answers()).await?;
        }
    }
    Ok(Outcome::Near)
}

/// The next event, from a device that takes the place of the one that was lost, if need be.
async fn next(generation: &mut Generation<'_>, device: &mut Device) -> Result<Option<Event>, WebError> {
    loop {
        let error = match generation.next().await {
            Ok(event) => return Ok(event),
            Err(error) => error,
        };
        let recover = async |source: &Source, backend: &dyn Backend, host: &Host| {
            let mut report = |done, total| {
                host.tell_progress(done, total);
                ControlFlow::Continue(())
            };
            generation.recover(source, backend, &mut report).await
        };
        device.revive(error, recover).await?;
        device.tell_restored(generation.info());
    }
}

/// A form that cannot be kept to is the request's fault, and named by its field.
fn refused(plan: &Plan, error: EngineError) -> WebError {
    match error {
        EngineError::Constraint { .. } => plan.refuse(error).into(),
        other => other.into(),
    }
}

fn note(decision: &Decision) -> NearsideNote {
    NearsideNote {
        score: Some(decision.score),
        threshold: Some(decision.threshold),
        reasons: decision.reasons.clone(),
        ..NearsideNote::new(nearside_wire::Side::Near)
    }
}
