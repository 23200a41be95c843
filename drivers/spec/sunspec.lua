-- What sunspec reads and writes, in literals. Source of all: github.com/sunspec/models,
-- json/model_N.json, revision 7abdf89; floats are IEEE 754 written by hand. An address counts from
-- the model's ID, as in the driver.
local SOURCE = "sunspec/models, json/model_N.json, revision 7abdf89"
local COMMON = { -- Mn, Md, Vr, SN
  [2] = { 0x4672, 0x6F6E, 0x6975, 0x7300 }, -- Fronius
  [18] = { 0x5072, 0x696D, 0x6F00 },        -- Primo
  [42] = { 0x312E, 0x3200 },                -- 1.2
  [50] = { 0x3132, 0x3334 },                -- 1234
}

return {
  driver = "sunspec",
  fixtures = {
    { name = "integers with scale factors, and storage", source = SOURCE,
      models = {
        [1] = COMMON,
        [103] = {
          [3] = { 1234, 1000, 0xFFFF, -2 },       -- AphA, AphB, AphC, A_SF
          [10] = { 2305, 2310, 0xFFFF, -1 },      -- PhVphA to C, V_SF
          [14] = { 5000, 0 },                     -- W, W_SF
          [16] = { 5001, -2 },                    -- Hz
          [18] = { 510, 1 },                      -- VA
          [20] = { 0xFFCE, 0 },                   -- VAr: -50
          [24] = { 0x00BC, 0x614E, 0 },           -- WH: 12345678
          [31] = { 5200, 0, 0xFFCE },             -- DCW, DCW_SF, TmpCab: -50
          [37] = { -1, 4 },                       -- Tmp_SF, St: MPPT
        },
        [120] = { [3] = { 8000, 0 }, [19] = { 1024, 1 }, [25] = { 50, 2 } },
        [121] = { [2] = 800, [22] = 1 },
        [123] = { [5] = 10000, [7] = 0, [9] = 0, [23] = -2 },
        [124] = {
          [2] = 4000, [5] = 0, [8] = 5650, [10] = 4005, [11] = 3, [12] = { 10000, 10000 },
          [15] = 0, [18] = 0, [22] = -2, [24] = -1, [25] = -2,
        },
      },
      expect = {
        inverter = {
          manufacturer = "Fronius", model = "Primo", firmwareVersion = "1.2",
          serialNumber = "1234", currentL1 = 12.34, currentL2 = 10, currentL3 = false,
          voltageL1 = 230.5, voltageL2 = 231, voltageL3 = false, activePower = -5000,
          frequency = 50.01, apparentPower = 5100, reactivePower = 50, energyExport = 12345678,
          dcPower = -5200, temperature = -5, state = "producing", ratedPower = 8000,
        },
        battery = {
          stateOfCharge = 56.5, dcVoltage = 400.5, state = "discharging", maxChargePower = 4000,
          maxDischargePower = 5000, capacity = 10240,
        },
      },
      orders = { -- InWRte and OutWRte in %, then how long they hold, the mode last
        { part = "battery", model = 124, activePower = 2000,
          writes = { { 13, 5000 }, { 12, 0xF060 }, { 15, 120 }, { 5, 3 } } },
        { part = "battery", model = 124, activePower = -2000,
          writes = { { 12, 4000 }, { 13, 0xEC78 }, { 15, 120 }, { 5, 3 } } },
        { part = "battery", model = 124, activePower = 0,
          writes = { { 13, 0 }, { 12, 0 }, { 15, 120 }, { 5, 3 } } },
        { part = "inverter", model = 123, minActivePower = -5600,
          writes = { { 5, 7000 }, { 7, 120 }, { 9, 1 } } },
      } },
    { name = "a third phase", source = SOURCE,
      models = { [103] = { [3] = { 1000, 1000, 500, -2 }, [10] = { 2300, 2300, 2310, -1 } } },
      expect = { inverter = { currentL3 = 5, voltageL3 = 231 } } },
    { name = "floats", source = SOURCE,
      models = {
        [1] = COMMON,
        [113] = {
          [4] = { 0x4128, 0x0000 }, [6] = { 0x4128, 0x0000 }, [8] = { 0x4040, 0x0000 },
          [16] = { 0x4366, 0x3333 }, [18] = { 0x4367, 0x8000 }, [20] = { 0x4365, 0xC000 },
          [22] = { 0x4516, 0xF000 }, [24] = { 0x4248, 0x147B }, [26] = { 0x4586, 0x6000 },
          [28] = { 0xC2F0, 0x0000 }, [32] = { 0x449A, 0x5000 }, [38] = { 0x4516, 0xF000 },
          [40] = { 0x4128, 0x0000 }, [48] = 1,
        },
        [120] = { [3] = { 8000, 0 } },
      },
      expect = {
        inverter = {
          currentL1 = 10.5, currentL2 = 10.5, currentL3 = 3, voltageL1 = 230.2,
          voltageL2 = 231.5, voltageL3 = 229.75, activePower = -2415, frequency = 50.02,
          apparentPower = 4300, reactivePower = 120, energyExport = 1234.5, dcPower = -2415,
          temperature = 10.5, state = "off", ratedPower = 8000,
        },
      } },
    { name = "one phase in floats: the others are NaN", source = SOURCE,
      models = { [111] = { [4] = { 0x4128, 0x0000 }, [6] = { 0x7FC0, 0 }, [8] = { 0x7FC0, 0 } } },
      expect = { inverter = { currentL1 = 10.5, currentL2 = false, currentL3 = false } } },
  },
}
