"""What a model is taught on and scores: plans, panels, past origins, scores of everybody."""
