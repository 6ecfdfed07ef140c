//! Tests of the simulated console.

mod pushes;
