// The outcomes of calls, in the order in which they are drawn and listed.

export const OUTCOMES = ["success", "client_error", "failure", "overload", "timed_out", "cancelled", "rejected", "panicked"];

// Drawn above: what succeeded, and what the caller did wrong.
export const UPPER = ["success", "client_error"];

// Drawn below, on a scale of their own, from the bottom up: a flood of successes would hide them.
export const LOWER = ["cancelled", "overload", "timed_out", "rejected", "failure", "panicked"];
