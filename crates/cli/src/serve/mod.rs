//! `nearside serve`: the model behind an OpenAI-compatible interface.

mod answer;
mod embeddings;
mod queue;
mod reply;
mod routes;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::{Args, ValueEnum};
use nearside_chat::Limits;
use nearside_engine::Speculation;
use serde::Serialize;
use tokio::net::TcpListener;

use self::queue::{Habits, Queue};
use self::routes::{Server, router};
use crate::arguments::{CommonArguments, ModelArguments, positive};
use crate::backend::BackendReport;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::output;

/// The examples below the options.
const EXAMPLES: &str = "\
Examples:
  nearside serve --model smollm2.gguf --port 8082
  nearside serve --model qwen.gguf --port 0 --backend cpu
  curl http://127.0.0.1:8082/v1/chat/completions -H 'Content-Type: application/json' \\
    -d '{\"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}], \"stream\": true}'

Paths: POST /v1/chat/completions, POST /v1/embeddings, GET /v1/models, GET /healthz.
A request's `model` is not compared with the one served; the answer names the one that spoke.
Ctrl-C or SIGTERM ends it: answers under way get two seconds, then their streams end with an error.";

/// How long answers under way may go on once the end was asked for.
const GRACE: Duration = Duration::from_secs(2);

/// Serve a model over HTTP, OpenAI-compatible
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelArguments,

    /// Where to listen; anything but a loopback address lets other machines use the model
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    host: IpAddr,

    /// The port; 0 picks a free one
    #[arg(long, value_name = "PORT", default_value_t = 8082)]
    port: u16,

    /// How many requests may wait while one is answered; more are refused with status 503
    #[arg(long, value_name = "COUNT", default_value_t = 16, value_parser = positive)]
    queue: usize,

    /// Foresee tokens and check several in one step: `lookup` takes them from what stood in the conversation before,
    /// which pays where answers quote it. Answers stay the same
    #[arg(long, value_name = "SOURCE", default_value = "none")]
    speculate: Foresight,

    /// How many conversations are kept, so that each reads only its new tokens; 1 keeps the newest alone
    #[arg(long, value_name = "COUNT", default_value_t = Limits::default().conversations, value_parser = positive)]
    conversations: usize,

    /// How much memory their keys and values may take, each conversation counted as if it filled the context
    #[arg(long, value_name = "MIB", default_value_t = Limits::default().bytes >> 20)]
    conversation_memory: u64,

    /// The most bytes a request may have
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20, value_parser = positive)]
    body_limit: usize,
}

/// Where tokens are foreseen from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Foresight {
    /// Nowhere
    None,
    /// What stood in the conversation before
    Lookup,
}

impl From<Foresight> for Speculation {
    fn from(foresight: Foresight) -> Self {
        match foresight {
            Foresight::None => Self::None,
            Foresight::Lookup => Self::Lookup,
        }
    }
}

/// What `--json` prints when ready.
#[derive(Serialize)]
struct Ready<'a> {
    url: &'a str,
    model: &'a str,
    backend: BackendReport,
    context: usize,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments, common: CommonArguments, interrupt: &Interrupt) -> Result<(), Failure> {
    let system = |what: &str| {
        let what = what.to_owned();
        move |error: std::io::Error| Failure::System { what, reason: error.to_string() }
    };
    // One thread carries all connections; the engine has its own.
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(system("starting the server"))?;
    // A port that is taken should be known before a large model is loaded.
    let address = SocketAddr::new(arguments.host, arguments.port);
    let listener = runtime.block_on(TcpListener::bind(address)).map_err(system(&format!("listening on {address}")))?;
    let url = format!("http://{}", listener.local_addr().map_err(system("asking for the port"))?);

    let stopping = Arc::new(AtomicBool::new(false));
    let limits =
        Limits { conversations: arguments.conversations, bytes: arguments.conversation_memory.saturating_mul(1 << 20) };
    let habits = Habits { speculation: arguments.speculate.into(), limits };
    let (queue, served, engine_thread) =
        Queue::start(&arguments.model, common, arguments.queue, habits, interrupt, Arc::clone(&stopping))?;

    if common.json {
        let backend = BackendReport::from(&served.info.backend);
        output::write_json_line(&Ready { url: &url, model: &served.id, backend, context: served.info.context })?;
    }
    eprintln!("listening on {url}");

    let server = Arc::new(Server::new(queue, served, arguments.body_limit));
    let served = runtime.block_on(async {
        let asked = interrupt.clone();
        let serving = axum::serve(listener, router(server)).with_graceful_shutdown(async move { asked.raised().await });
        tokio::select! {
            result = serving => result.map_err(system("serving")),
            () = give_up(interrupt, &stopping) => Ok(()),
        }
    });
    stopping.store(true, Ordering::SeqCst);
    // Connections that outlived their grace hold the queue; with them gone the engine's thread ends.
    drop(runtime);
    if engine_thread.join().is_err() {
        return Err(Failure::System {
            what: "ending the engine's thread".to_owned(),
            reason: "it panicked".to_owned(),
        });
    }
    served
}

/// Returns when there is no more waiting for answers under way.
async fn give_up(interrupt: &Interrupt, stopping: &AtomicBool) {
    interrupt.raised().await;
    tokio::time::sleep(GRACE).await;
    stopping.store(true, Ordering::SeqCst);
    // Time for the last events to reach the clients.
    tokio::time::sleep(GRACE / 4).await;
}
