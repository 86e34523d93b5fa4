//! The index from the tables, at open. Rows that cannot be read are told to the caller, who takes them out.

use redb::{ReadTransaction, ReadableTable as _};
use serde::de::DeserializeOwned;

use super::index::Index;
use super::record::decode;
use super::tables::{
    ANSWERS, AnswerHeader, BODIES, INBOX, InboxHeader, JOURNAL, META, META_CLOCK, META_NEXT_SEQ, OUTBOX,
    OutboxHeader, ROW_TABLES, SAVED, SavedHeader,
};
use crate::layers::LayerOp;

/// A row that is not what its table holds.
pub(super) struct BadRow {
    pub table: &'static str,
    pub seq: u64,
    pub problem: String,
}

/// Why a row is not taken into the index.
enum Unfit {
    /// It is not what its table holds.
    Bad(String),
    /// The card did not let it be read: that says nothing about the row.
    Unread(redb::Error),
}

impl From<String> for Unfit {
    fn from(problem: String) -> Self {
        Self::Bad(problem)
    }
}

/// An index, the rows that it leaves out, and bodies that nothing uses.
pub(super) struct Loaded {
    pub index: Index,
    pub bad: Vec<BadRow>,
    pub unused_bodies: Vec<u64>,
}

pub(super) fn load(txn: &ReadTransaction) -> Result<Loaded, redb::Error> {
    let mut loader = Loader { txn, index: Index::default(), bad: Vec::new() };
    let meta = txn.open_table(META)?;
    let number = |key| -> Result<u64, redb::Error> { Ok(meta.get(key)?.map_or(0, |guard| guard.value())) };
    loader.index.next_seq = number(META_NEXT_SEQ)?;
    loader.index.clock_ms = number(META_CLOCK)?;
    let bodies = txn.open_table(BODIES)?;

    loader.rows::<InboxHeader>("inbox", INBOX, |index, seq, mut header, body| {
        header.entry.payload = body.to_vec();
        index.inbox_add(seq, &header.entry);
        Ok(())
    })?;
    loader.rows::<OutboxHeader>("outbox", OUTBOX, |index, seq, header, _| {
        check_body(&bodies, header.body, header.bytes)?;
        index.outbox_add(seq, &header);
        Ok(())
    })?;
    loader.rows::<AnswerHeader>("answers", ANSWERS, |index, seq, header, _| {
        if header.body != 0 {
            check_body(&bodies, header.body, header.bytes)?;
        }
        index.answer_add(seq, &header);
        Ok(())
    })?;
    loader.rows::<LayerOp>("journal", JOURNAL, |index, seq, _, line| {
        std::str::from_utf8(line).map_err(|e| e.to_string())?;
        index.journal_add(seq, line.len());
        Ok(())
    })?;
    loader.rows::<SavedHeader>("saved", SAVED, |index, seq, header, _| {
        index.saved_add(seq, &header);
        Ok(())
    })?;

    let Loader { mut index, bad, .. } = loader;
    let mut unused_bodies = Vec::new();
    for row in bodies.iter()? {
        let seq = row?.0.value();
        if !index.body_is_used(seq) {
            unused_bodies.push(seq);
        }
    }
    // A place is never given twice, whatever the counter says.
    for table in ROW_TABLES {
        let last = txn.open_table(table)?.last()?.map_or(0, |(seq, _)| seq.value());
        index.next_seq = index.next_seq.max(last);
    }
    Ok(Loaded { index, bad, unused_bodies })
}

fn check_body(
    bodies: &redb::ReadOnlyTable<u64, &'static [u8]>,
    body: u64,
    bytes: usize,
) -> Result<(), Unfit> {
    let found = redb::ReadableTable::get(bodies, body);
    judge(found.map(|payload| payload.map(|payload| payload.value().len())), bytes)
}

/// What the length of a body, as far as it was found, says of the row that names it.
fn judge(found: Result<Option<usize>, redb::StorageError>, bytes: usize) -> Result<(), Unfit> {
    match found {
        Ok(Some(len)) if len == bytes => Ok(()),
        Ok(_) => Err(Unfit::Bad("its payload is not there".to_owned())),
        Err(error) => Err(Unfit::Unread(error.into())),
    }
}

struct Loader<'a> {
    txn: &'a ReadTransaction,
    index: Index,
    bad: Vec<BadRow>,
}

impl Loader<'_> {
    fn rows<H: DeserializeOwned>(
        &mut self,
        table: &'static str,
        definition: redb::TableDefinition<'static, u64, &'static [u8]>,
        mut take: impl FnMut(&mut Index, u64, H, &[u8]) -> Result<(), Unfit>,
    ) -> Result<(), redb::Error> {
        for row in self.txn.open_table(definition)?.iter()? {
            let (seq, bytes) = row?;
            let seq = seq.value();
            let row = decode::<H>(bytes.value()).map_err(Unfit::Bad);
            match row.and_then(|(header, body)| take(&mut self.index, seq, header, body)) {
                Ok(()) => {}
                Err(Unfit::Bad(problem)) => self.bad.push(BadRow { table, seq, problem }),
                Err(Unfit::Unread(error)) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// redb gives nothing more after a read that has failed, so that no card shows this from outside: what is taken for a bad
    /// row could not be taken out either. Here it does not depend on that.
    #[test]
    fn a_body_that_the_card_does_not_give_says_nothing_about_its_row() {
        assert!(judge(Ok(Some(7)), 7).is_ok());
        assert!(matches!(judge(Ok(Some(6)), 7), Err(Unfit::Bad(_))));
        assert!(matches!(judge(Ok(None), 7), Err(Unfit::Bad(_))));
        for error in [
            redb::StorageError::Io(std::io::Error::other("the card stutters")),
            redb::StorageError::PreviousIo,
        ] {
            assert!(matches!(judge(Err(error), 7), Err(Unfit::Unread(_))));
        }
    }
}
