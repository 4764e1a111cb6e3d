// Chromium as the tests use it: it asks nothing of the outside by itself.
import { createRequire } from 'node:module';
const { chromium } = createRequire(process.env.MODULES + '/')('playwright-core');
const args = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];
export const launch = () => chromium.launch({ executablePath: process.env.CHROMIUM, args });
