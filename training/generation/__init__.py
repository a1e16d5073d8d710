"""The task of generation: images, latents and codes that are learnt without labels."""
