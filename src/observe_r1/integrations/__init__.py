"""Other engines that train our recipes. We write no distributed engine: we plug into one."""
