//! A `.env` document that is changed without touching any byte it need not touch.
