//! A board checks itself: the fused executor decodes for a model only once its answers to the probe were those of tract on
//! this very processor.
//!
//! Both engines are tried in processes of their own, one after the other, in the background; tract decodes meanwhile, so no
//! prompt waits for the comparison. What came out is remembered (`remembered`), and holds for the same model, program and
//! processor. Where the engines disagree, or one cannot be tried, tract goes on decoding, and that is told.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::remembered::{Circumstances, Remembered};
use super::report::Difference;
use super::trial::{Subject, Trial, try_out};
use super::{EngineNews, Launch, Listener};
use crate::decoder::CpuEngine;
use crate::models::ModelInfo;

/// How a board checks itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelfCheckOptions {
    /// How the engines' processes are started.
    pub launch: Launch,
    /// Threads of one decode.
    pub threads: usize,
    /// The file that remembers what came out.
    pub remembered: PathBuf,
}

/// Which engine of the processor decodes which model.
#[derive(Clone)]
pub struct SelfCheck(Arc<Inner>);

struct Inner {
    options: SelfCheckOptions,
    listener: Listener,
    models: Mutex<HashMap<PathBuf, (ModelInfo, Verdict)>>,
    remembered: Mutex<Remembered>,
    /// Held while a model is checked: one at a time is load enough for a board.
    turn: Mutex<()>,
}

/// What is known of a model.
enum Verdict {
    /// It is being compared.
    Pending,
    /// The fused executor decodes it.
    Agrees,
    /// tract decodes it, and why.
    Refused(String),
}

impl SelfCheck {
    /// Nothing is checked yet; what was found out before is read.
    pub fn new(options: SelfCheckOptions, listener: Listener) -> Self {
        let remembered = Mutex::new(Remembered::read(&options.remembered));
        let (models, turn) = (Mutex::default(), Mutex::new(()));
        Self(Arc::new(Inner { options, listener, models, remembered, turn }))
    }

    /// Who decodes a model. The first call for a model that is not remembered starts its comparison.
    pub fn engine(&self, model: &ModelInfo) -> CpuEngine {
        let mut models = self.0.models();
        match models.get(&model.dir).filter(|(of, _)| of == model) {
            Some((_, Verdict::Agrees)) => return CpuEngine::Fused,
            Some(_) => return CpuEngine::Tract,
            None => {}
        }
        let known = self.0.remembered().difference(&Circumstances::of(model));
        if let Some(difference) = known {
            let verdict = judged(difference);
            let refusal = match &verdict {
                Verdict::Refused(why) => Some(decoded_by_tract(model, why)),
                Verdict::Pending | Verdict::Agrees => None,
            };
            models.insert(model.dir.clone(), (model.clone(), verdict));
            drop(models);
            let Some(message) = refusal else { return CpuEngine::Fused };
            (self.0.listener)(EngineNews::Fallback { model: Some(model.name.clone()), message });
            return CpuEngine::Tract;
        }
        models.insert(model.dir.clone(), (model.clone(), Verdict::Pending));
        drop(models);
        let (inner, of) = (Arc::clone(&self.0), model.clone());
        let thread = std::thread::Builder::new().name("engine-check".to_owned());
        if let Err(error) = thread.spawn(move || inner.check(&of)) {
            self.0.settle(model, Verdict::Refused(format!("the check cannot be started: {error}")));
        }
        CpuEngine::Tract
    }

    /// Who decodes: tract, where it decodes any model.
    pub fn in_use(&self) -> CpuEngine {
        let models = self.0.models();
        let all = models.values().all(|(_, verdict)| matches!(verdict, Verdict::Agrees));
        if all { CpuEngine::Fused } else { CpuEngine::Tract }
    }

    /// Why tract decodes, where it does.
    pub fn reason(&self) -> Option<String> {
        let models = self.0.models();
        let mut reasons = models.values().filter_map(|(model, verdict)| match verdict {
            Verdict::Agrees => None,
            Verdict::Pending => Some((1, format!("{} is being compared on both engines", model.name))),
            Verdict::Refused(why) => Some((0, decoded_by_tract(model, why))),
        });
        let first = reasons.next()?;
        Some(reasons.fold(first, std::cmp::min).1)
    }

    /// Forgets models that are not in these directories any more.
    pub fn keep(&self, dirs: &[PathBuf]) {
        self.0.models().retain(|dir, _| dirs.contains(dir));
    }
}

fn decoded_by_tract(model: &ModelInfo, why: &str) -> String {
    format!("{} is decoded by tract: {why}", model.name)
}

/// What follows from a difference.
fn judged(difference: Difference) -> Verdict {
    let tolerated = Difference::tolerated(false);
    if difference.is_agreement(false) {
        return Verdict::Agrees;
    }
    let set = crate::decoder::instruction_set();
    Verdict::Refused(format!(
        "on this processor ({set}) the fused executor disagrees with it on the probe: {difference}; tolerated are \
         {tolerated}; please report it with what `geosam-edge doctor` prints"
    ))
}

impl Inner {
    /// Verdicts change in one step each, so a poisoned lock holds a whole one.
    fn models(&self) -> MutexGuard<'_, HashMap<PathBuf, (ModelInfo, Verdict)>> {
        self.models.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remembered(&self) -> MutexGuard<'_, Remembered> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, model: &ModelInfo) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let subject = Subject::from(model);
        let try_out = |engine| {
            let trial = try_out(&self.options.launch, engine, &subject, self.options.threads);
            trial.map_err(|error| format!("{engine} cannot be tried: {error}"))
        };
        let trials = try_out(CpuEngine::Fused).and_then(|fused| Ok((fused, try_out(CpuEngine::Tract)?)));
        let (fused, tract) = match trials {
            Ok(trials) => trials,
            // A process that had no memory may have some after the next start: that is not remembered.
            Err(why) => return self.settle(model, Verdict::Refused(why)),
        };
        let difference = fused.difference(&tract);
        self.remember(model, difference);
        let verdict = judged(difference);
        if matches!(verdict, Verdict::Agrees) {
            tracing::info!(model = model.name, "{}", agreement(&fused, &tract, difference));
        }
        self.settle(model, verdict);
    }

    fn remember(&self, model: &ModelInfo, difference: Difference) {
        let mut remembered = self.remembered();
        remembered.put(Circumstances::of(model), difference);
        if let Err(error) = remembered.write(&self.options.remembered) {
            let file = self.options.remembered.display();
            tracing::warn!(%file, %error, "the comparison is not remembered, and made again at the next start");
        }
    }

    /// Sets the verdict on a model that is still there, and tells it.
    fn settle(&self, model: &ModelInfo, verdict: Verdict) {
        let mut models = self.models();
        // The model may have been replaced or taken away meanwhile.
        let Some((_, pending)) = models.get_mut(&model.dir).filter(|(of, _)| of == model) else { return };
        let news = match &verdict {
            Verdict::Refused(why) => EngineNews::Fallback {
                model: Some(model.name.clone()),
                message: decoded_by_tract(model, why),
            },
            Verdict::Agrees | Verdict::Pending => EngineNews::Agreed { model: model.name.clone() },
        };
        *pending = verdict;
        drop(models);
        (self.listener)(news);
    }
}

/// What is logged of two engines that agree.
fn agreement(fused: &Trial, tract: &Trial, difference: Difference) -> String {
    format!(
        "the fused executor agrees with tract on this processor ({}): {difference}; {:.1} ms a prompt, tract {:.1} ms",
        fused.performance.instruction_set, fused.performance.decode_ms, tract.performance.decode_ms
    )
}

impl std::fmt::Debug for SelfCheck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SelfCheck").field("options", &self.0.options).finish_non_exhaustive()
    }
}
