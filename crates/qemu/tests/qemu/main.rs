//! Tests against the scripted fake and, where they are installed, the real programs. One executable: it links once.

mod agent;
mod launch;
mod power;
mod qmp;
mod real;
mod vm;
