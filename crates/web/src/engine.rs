//! A loaded model.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use js_sys::Function;
use nearside_chat::{Conversations, Limits};
use nearside_engine::backend::{Backend, BackendKind, CacheFormat};
use nearside_engine::{Adapter, EngineOptions, ModelInfo};
use serde::{Deserialize, Serialize};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::ahead::Begun;
use crate::answer::{self, Asked, Outcome};
use crate::device::{Choice, Device, Feature, loss};
use crate::embedding;
use crate::error::WebError;
use crate::host::Host;
use crate::javascript::{from_js, to_js};
use crate::source::Source;

/// A loaded model with its conversations: a request that goes on with one of them reads only what is new in it.
#[wasm_bindgen]
pub struct Engine {
    pub(crate) loaded: nearside_engine::Engine,
    pub(crate) conversations: Conversations,
    pub(crate) device: Device,
    pub(crate) habits: Habits,
    pub(crate) adapters: BTreeMap<u32, Adapter>,
}

#[derive(Deserialize)]
pub(crate) struct LoadOptions {
    pub(crate) backend: Choice,
    #[serde(default)]
    pub(crate) gpu_without: Vec<Feature>,
    context: Option<usize>,
    #[serde(default)]
    cache: Cache,
    #[serde(default)]
    when_full: WhenFull,
    #[serde(default)]
    speculation: Foresight,
    conversations: Option<usize>,
    conversation_bytes: Option<f64>,
}

/// How all requests are answered.
#[derive(Clone, Copy)]
pub(crate) struct Habits {
    pub(crate) when_full: WhenFull,
    pub(crate) speculation: Foresight,
}

/// Where tokens are foreseen from.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Foresight {
    /// Nowhere.
    #[default]
    None,
    /// From what stood in the conversation before.
    Lookup,
}

impl LoadOptions {
    /// What of them is the engine's.
    pub(crate) fn engine(&self) -> EngineOptions {
        let cache = match self.cache {
            Cache::F16 => CacheFormat::F16,
            Cache::Q8 => CacheFormat::Q8_0,
        };
        EngineOptions { context: self.context, cache, ..EngineOptions::default() }
    }
}

/// How keys and values are kept.
#[derive(Clone, Copy, Default, Deserialize)]
enum Cache {
    #[default]
    #[serde(rename = "f16")]
    F16,
    #[serde(rename = "q8_0")]
    Q8,
}

/// What happens when a conversation outgrows the context.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum WhenFull {
    /// It is refused, or its answer ends there.
    #[default]
    Stop,
    /// Its oldest turns are forgotten, the system prompt never.
    Slide,
}

/// What the model is and what runs it.
#[derive(Serialize)]
pub(crate) struct Info<'a> {
    name: &'a str,
    architecture: &'a str,
    parameters: u64,
    quantization: &'a str,
    context: usize,
    layers: usize,
    vocabulary: usize,
    backend: Running<'a>,
    choice: &'a str,
}

#[derive(Serialize)]
struct Running<'a> {
    kind: &'static str,
    device: &'a str,
    features: &'a [String],
}

impl<'a> Info<'a> {
    pub(crate) fn of(info: &'a ModelInfo, device: &'a Device) -> Self {
        Self {
            name: &info.name,
            architecture: &info.architecture,
            parameters: info.parameters,
            quantization: &info.quantization,
            context: info.context,
            layers: info.layers,
            vocabulary: info.vocabulary,
            backend: Running {
                kind: match info.backend.kind {
                    BackendKind::Gpu => "gpu",
                    BackendKind::Cpu => "cpu",
                },
                device: &info.backend.device,
                features: &info.backend.features,
            },
            choice: device.why(),
        }
    }
}

#[wasm_bindgen]
impl Engine {
    /// Loads a model, or goes on with what was begun with the same options; `host` is told of the progress and asked
    /// for what only the worker can do.
    pub async fn load(source: Source, options: JsValue, host: Host, begun: Option<Begun>) -> Result<Engine, JsValue> {
        Ok(load(&source, from_js("options", options)?, host, begun).await?)
    }

    /// What the model is and what runs it.
    pub fn info(&self) -> Result<JsValue, JsValue> {
        Ok(to_js(&Info::of(self.loaded.info(), &self.device))?)
    }

    /// Scores a request without answering it. What it computed is reused by the answer.
    pub async fn decide(&mut self, request: JsValue, route: JsValue, go_on: Function) -> Result<JsValue, JsValue> {
        let asked = Asked::read(&request, route, String::new())?;
        let decision = answer::decide(self, &asked, &go_on).await?;
        Ok(to_js(&decision)?)
    }

    /// Answers near unless the score says far. `emit` gets every chunk, and `null` where there is nothing to show
    /// yet; its promise resolving to `false` stops the answer.
    pub async fn chat(
        &mut self,
        request: JsValue,
        route: JsValue,
        model: String,
        emit: Function,
    ) -> Result<JsValue, JsValue> {
        let asked = Asked::read(&request, route, model)?;
        let outcome: Outcome = answer::answer(self, &asked, &emit).await?;
        Ok(to_js(&outcome)?)
    }

    /// Makes vectors of texts. `go_on` is called after each; its promise resolving to `false` stops the work.
    pub async fn embed(&mut self, request: JsValue, model: String, go_on: Function) -> Result<JsValue, JsValue> {
        Ok(to_js(&embedding::embed(self, &request, &model, &go_on).await?)?)
    }
}

async fn load(source: &Source, options: LoadOptions, host: Host, begun: Option<Begun>) -> Result<Engine, WebError> {
    let mut ahead = None;
    let (mut device, mut backend) = if let Some(Begun { device, gpu, load }) = begun {
        ahead = Some(load);
        (device, Box::new(gpu) as Box<dyn Backend>)
    } else {
        let mut device = Device::new(options.backend, &options.gpu_without, host);
        let backend = device.first().await?;
        (device, backend)
    };
    let mut loaded = loop {
        let mut report = |done, total| {
            device.host().tell_progress(done, total);
            ControlFlow::Continue(())
        };
        let (ahead, options) = (ahead.take(), options.engine());
        let result = nearside_engine::Engine::load_begun(ahead, source, backend.as_ref(), options, &mut report).await;
        match result {
            Ok(loaded) => break loaded,
            Err(error) if backend.describe().kind == BackendKind::Gpu => match loss(&error) {
                Some(lost) => backend = device.next(lost).await?,
                None => return Err(error.into()),
            },
            Err(error) => return Err(error.into()),
        }
    };
    let usual = Limits::default();
    let mut conversations = Conversations::new(Limits {
        conversations: options.conversations.unwrap_or(usual.conversations),
        bytes: options.conversation_bytes.map_or(usual.bytes, |bytes| bytes as u64),
    });
    // That there is no room for a first one should be known now.
    conversations.keep(loaded.create_session()?);
    let habits = Habits { when_full: options.when_full, speculation: options.speculation };
    Ok(Engine { loaded, conversations, device, habits, adapters: BTreeMap::new() })
}
