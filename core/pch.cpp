// Empty on purpose: it carries the precompiled header.
