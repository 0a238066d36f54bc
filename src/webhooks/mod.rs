//! Webhooks: what happens in calls, told to other systems, at least once and in order.
