"""Takes cells and the store; gives a `Plan`: what a run would do, why, and the price."""
