"""Small programs that use pgqueue; an installed pgqueue has them as `pgqueue.examples`."""
