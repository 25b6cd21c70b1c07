"""How the model's code is run: one module for each way, behind one interface."""
