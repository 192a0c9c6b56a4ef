//! A loaded model.

use std::ops::ControlFlow;

use js_sys::Function;
use nearside_engine::backend::BackendKind;
use nearside_engine::{EngineOptions, Session};
use serde::{Deserialize, Serialize};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::answer::{self, Asked, Outcome};
use crate::choice::{Choice, choose};
use crate::error::WebError;
use crate::javascript::{from_js, to_js};
use crate::source::Source;

/// A loaded model with its one conversation: a request that begins like the one before reuses its cache.
#[wasm_bindgen]
pub struct Engine {
    loaded: nearside_engine::Engine,
    session: Session,
    choice: String,
}

#[derive(Deserialize)]
struct LoadOptions {
    backend: Choice,
    context: Option<usize>,
}

#[derive(Serialize)]
struct Info<'a> {
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

#[wasm_bindgen]
impl Engine {
    /// Loads a model; `progress` is told how many weight bytes are in place, out of how many.
    pub async fn load(source: Source, options: JsValue, progress: Function) -> Result<Engine, JsValue> {
        Ok(load(&source, from_js("options", options)?, &progress).await?)
    }

    /// What the model is and what runs it.
    pub fn info(&self) -> Result<JsValue, JsValue> {
        let info = self.loaded.info();
        Ok(to_js(&Info {
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
            choice: &self.choice,
        })?)
    }

    /// Scores a request without answering it. What it computed is reused by the answer.
    pub async fn decide(&mut self, request: JsValue, route: JsValue, go_on: Function) -> Result<JsValue, JsValue> {
        let asked = Asked::read(&request, route, String::new())?;
        let decision = answer::decide(&mut self.loaded, &mut self.session, &asked, &go_on).await?;
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
        let outcome: Outcome = answer::answer(&mut self.loaded, &mut self.session, &asked, &emit).await?;
        Ok(to_js(&outcome)?)
    }
}

async fn load(source: &Source, options: LoadOptions, progress: &Function) -> Result<Engine, WebError> {
    let (backend, choice) = choose(options.backend).await?;
    let mut report = |done: u64, total: u64| {
        // Nobody to tell is no reason to stop loading.
        let _ = progress.call2(&JsValue::UNDEFINED, &(done as f64).into(), &(total as f64).into());
        ControlFlow::Continue(())
    };
    let engine_options = EngineOptions { context: options.context, ..EngineOptions::default() };
    let mut loaded = nearside_engine::Engine::load(source, backend.as_ref(), engine_options, &mut report).await?;
    let session = loaded.create_session()?;
    Ok(Engine { loaded, session, choice })
}
