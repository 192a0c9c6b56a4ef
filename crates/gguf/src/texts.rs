//! Many texts in one piece of memory.

use std::fmt;

/// A list of texts. A vocabulary has hundreds of thousands: an allocation for each would take longer than reading them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Texts {
    all: String,
    /// Where each text ends.
    ends: Vec<u32>,
}

impl Texts {
    /// An empty list with room for so many.
    pub(crate) fn with_capacity(count: usize) -> Self {
        Self { all: String::new(), ends: Vec::with_capacity(count) }
    }

    /// Adds a text. All together may have no more bytes than 32 bits count, which a file's reader sees to.
    pub(crate) fn push(&mut self, text: &str) {
        self.all.push_str(text);
        self.ends.push(self.all.len() as u32);
    }

    /// Gives back what room is left.
    pub(crate) fn shrink_to_fit(&mut self) {
        self.all.shrink_to_fit();
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The bytes of all of them together.
    pub fn total_bytes(&self) -> usize {
        self.all.len()
    }

    /// One of them.
    pub fn get(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)? as usize;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        Some(&self.all[start..end])
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let end = *end as usize;
            &self.all[std::mem::replace(&mut start, end)..end]
        })
    }
}

impl fmt::Debug for Texts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.iter()).finish()
    }
}

impl<T: AsRef<str>> FromIterator<T> for Texts {
    fn from_iter<I: IntoIterator<Item = T>>(texts: I) -> Self {
        let mut all = Self::default();
        for text in texts {
            all.push(text.as_ref());
        }
        all
    }
}

impl<T: AsRef<str>> From<Vec<T>> for Texts {
    fn from(texts: Vec<T>) -> Self {
        texts.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Texts;

    #[test]
    fn every_text_is_found_where_it_was_put() {
        let list = ["", "a", "", "ü🙂", "b", ""];
        let texts: Texts = list.into_iter().collect();
        assert_eq!((texts.len(), texts.total_bytes()), (6, 8));
        assert_eq!(texts.iter().collect::<Vec<_>>(), list);
        for (index, text) in list.into_iter().enumerate() {
            assert_eq!(texts.get(index), Some(text));
        }
        assert_eq!(texts.get(6), None);
        assert_eq!(format!("{texts:?}"), format!("{list:?}"));
        assert!(Texts::default().is_empty());
    }
}
