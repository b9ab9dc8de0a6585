"""What answers cost: boxes and logits, what candidates learn, and the choice by fusion."""
