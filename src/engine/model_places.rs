//! Where models are looked for: the appliance's own directory, and `models` in each directory of features, so that a card
//! that carries its model just works. Nothing is ever written onto a card.

use std::path::Path;
use std::sync::Arc;

use crate::family::Family;
use crate::models::{ModelInfo, ModelStore, ModelsError};

/// The models of all places, as they were at the last look.
#[derive(Debug)]
pub(super) struct ModelPlaces {
    own: ModelStore,
    on_cards: Vec<Arc<ModelStore>>,
}

impl ModelPlaces {
    /// Looks at the appliance's own directory. Cards may hang, so others look at them.
    ///
    /// # Errors
    /// It cannot be listed.
    pub fn open(own: &Path) -> Result<Self, ModelsError> {
        Ok(Self { own: ModelStore::open(own)?, on_cards: Vec::new() })
    }

    /// The appliance's own as they are now, and those on the cards as they were.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn again(&self) -> Result<Self, ModelsError> {
        Ok(Self { on_cards: self.on_cards.clone(), ..Self::open(self.own.dir())? })
    }

    /// The same with what has been seen on the cards: the models in `models` of each.
    pub fn with_cards(mut self, on_cards: &[Arc<ModelStore>]) -> Self {
        let others = on_cards.iter().filter(|store| store.dir() != self.own.dir());
        self.on_cards = others.cloned().collect();
        self
    }

    fn all(&self) -> impl Iterator<Item = &ModelStore> {
        std::iter::once(&self.own).chain(self.on_cards.iter().map(|store| &**store))
    }

    /// Every model that can be used, the appliance's own first.
    pub fn list(&self) -> Vec<ModelInfo> {
        self.all().flat_map(|store| store.list().iter().cloned()).collect()
    }

    /// What is meant to be a model and cannot be used: its name, and why.
    pub fn problems(&self) -> Vec<String> {
        let problems = self.all().flat_map(ModelStore::problems);
        problems.map(|problem| format!("{}: {}", problem.name, problem.error)).collect()
    }

    /// The model of a folder's checkpoint: the appliance's own, otherwise a card's.
    ///
    /// # Errors
    /// What the appliance's own directory says of it, where no place has it.
    pub fn find(&self, checkpoint: &str, family: Family) -> Result<&ModelInfo, ModelsError> {
        let own = match self.own.find(checkpoint, family) {
            // Two of its own models that contradict each other are not for a card to decide between.
            Err(error @ ModelsError::Ambiguous { .. }) => return Err(error),
            found => found,
        };
        own.or_else(|error| {
            self.on_cards.iter().find_map(|store| store.find(checkpoint, family).ok()).ok_or(error)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn fixture(model: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models").join(model)
    }

    fn copy(model: &str, to: &Path) {
        let to = to.join(model);
        std::fs::create_dir_all(&to).unwrap();
        for file in std::fs::read_dir(fixture(model)).unwrap().map(Result::unwrap) {
            std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }

    #[test]
    fn a_model_on_a_card_is_found_where_the_appliance_has_none_and_its_own_comes_first() {
        let (own, card) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let on_card = || [Arc::new(ModelStore::open(&card.path().join("models")).unwrap())];
        let places = ModelPlaces::open(own.path()).unwrap().with_cards(&on_card());
        assert!(places.list().is_empty());
        assert!(places.find("mobile_sam.pt", Family::Sam).is_err());

        copy("mobile_sam", &card.path().join("models"));
        let places = places.with_cards(&on_card());
        assert!(places.find("mobile_sam.pt", Family::Sam).unwrap().dir.starts_with(card.path()));
        assert!(places.find("sam2_t.pt", Family::Sam2).is_err());

        copy("mobile_sam", own.path());
        let places = places.again().unwrap();
        assert!(places.find("mobile_sam.pt", Family::Sam).unwrap().dir.starts_with(own.path()));
        assert_eq!(places.list().len(), 2);
        let its_own = [Arc::new(ModelStore::open(own.path()).unwrap())];
        assert_eq!(
            places.again().unwrap().with_cards(&its_own).list().len(),
            1,
            "one place is looked at once"
        );
        assert_eq!(places.with_cards(&[]).list().len(), 1, "the card was pulled out");
    }
}
