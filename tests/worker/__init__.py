"""Real workers, in processes of their own, and what becomes of jobs when those die."""
