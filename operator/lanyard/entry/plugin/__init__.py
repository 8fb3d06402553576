"""`kubectl lanyard`: what a person sees of Lanyard, without the operator's packages; kubectl is the way out."""
