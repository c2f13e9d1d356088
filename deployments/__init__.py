"""How the flows are run in a plant."""
